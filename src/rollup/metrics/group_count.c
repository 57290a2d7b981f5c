/*
 * group_count.c
 *
 * The users of a group's first row are not read: if nothing else is added, the row's number
 * of unique users is the answer. From the second row on, sets are united.
 *
 * Deltas and events know a user by hash. A user of fast_ingest.users has a number, which the
 * rollup's sets hold. Users without a number are in no set of the rollup. They get numbers
 * for this answer only, from the largest down, so that these meet no number of a user. Where
 * nothing is counted but events, no set of the rollup is united, and it is faster to give such
 * numbers to all users than to look them up, as long as there are not too many to remember.
 */
#include "postgres.h"

#include "rollup/metrics/group_count.h"

#include "utils/datum.h"

#include "base/grow_array.h"
#include "rollup/users/user_map.h"
#include "rollup/users/user_numbers.h"

/* Most users that are looked up at a time. */
#define MAX_UNRESOLVED_USERS 65536

/* Most users who get a number for one answer without being looked up: they need 50 MB. */
#define MAX_LOCAL_USERS 1000000

/*
 * The only rows without users are totals of hours, and a group that reads one reads nothing
 * else. Rows that somebody has written by hand may break this, and must not crash the server.
 */
static void
require_users(Datum users)
{
	if (users == (Datum) 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of fast_ingest.rollup has no users"),
						errhint("Count the raw rows again with fi_rebuild().")));
}

UserSet *
GroupCountUsers(GroupCount *count)
{
	if (count->users == NULL)
	{
		count->users = UserSetCreate();
		if (count->rows > 0)
		{
			require_users(count->first);
			UserSetUnionDatum(count->users, count->first);
		}
	}
	return count->users;
}

void
GroupCountAddRow(GroupCount *count, int64 events, int64 unique_users, Datum users)
{
	count->events += events;
	if (count->rows == 0 && count->users == NULL)
	{
		count->unique_users = unique_users;
		if (users != (Datum) 0)
			count->first = datumCopy(users, false, -1);
	}
	else
	{
		require_users(users);
		UserSetUnionDatum(GroupCountUsers(count), users);
	}
	count->rows++;
}

void
GroupCountUnite(GroupCount *count, const GroupCount *group)
{
	if (group->users != NULL)
	{
		count->events += group->events;
		UserSetUnion(GroupCountUsers(count), group->users);
	}
	else if (group->rows > 0)
		GroupCountAddRow(count, group->events, group->unique_users, group->first);
}

int64
GroupCountUniqueUsers(GroupCount *count)
{
	return count->users == NULL ? count->unique_users : (int64) UserSetCardinality(count->users);
}

void
UnresolvedUsersInit(UnresolvedUsers *users, Snapshot snapshot, const RollupState *state,
					bool only_events)
{
	memset(users, 0, sizeof(*users));
	users->snapshot = snapshot;
	users->state = (UserNumbersState){state->users, state->erased};
	users->local_room = only_events ? MAX_LOCAL_USERS : 0;
	users->next_number = USER_UNKNOWN - 1;
	users->unnumbered = UserMapCreate(CurrentMemoryContext, 64);
}

/*
 * Add a user of a group. number is where the cache of deltas has the user's number, or NULL.
 */
static void
add_unresolved_user(UnresolvedUsers *users, GroupCount *count, UserHash hash, uint32 *number)
{
	if (users->n == MAX_UNRESOLVED_USERS)
		UnresolvedUsersResolve(users);
	users->counts = GrowArray(CurrentMemoryContext, users->counts, users->n, &users->count_room,
							  sizeof(GroupCount *));
	users->hashes = GrowArray(CurrentMemoryContext, users->hashes, users->n, &users->hash_room,
							  sizeof(UserHash));
	users->numbers = GrowArray(CurrentMemoryContext, users->numbers, users->n, &users->number_room,
							   sizeof(uint32 *));
	users->numbers[users->n] = number;
	users->counts[users->n] = count;
	users->hashes[users->n++] = hash;
}

/*
 * Give a user a number for this answer, always the same one
 */
static uint32
number_locally(UnresolvedUsers *users, UserHash hash)
{
	bool found;
	UserMapEntry *entry = UserMapAdd(users->unnumbered, hash, &found);

	if (!found)
		entry->number = users->next_number--;
	return entry->number;
}

/*
 * Has a user this number for this answer only?
 */
static bool
is_local(const UnresolvedUsers *users, uint32 number)
{
	return number > users->next_number;
}

/*
 * Add a user of a group of a delta
 */
static void
add_delta_user(UnresolvedUsers *users, GroupCount *count, const DeltaRow *row, int i)
{
	uint16 user = row->users[i];
	uint32 *number = row->numbers ? &row->numbers[user] : NULL;

	if (number == NULL || *number == USER_UNKNOWN)
		add_unresolved_user(users, count, row->hashes[user], number);
	else
		UserSetAdd(count->users,
				   *number == USER_ABSENT ? number_locally(users, row->hashes[user]) : *number);
}

void
GroupCountAddDelta(GroupCount *count, const DeltaRow *row, UnresolvedUsers *users)
{
	count->events += row->events;
	/* from here on, the number of users of the first row is not the answer */
	(void) GroupCountUsers(count);
	for (int i = 0; i < row->nusers; i++)
		add_delta_user(users, count, row, i);
}

void
GroupCountAddDeltaPart(GroupCount *count, const DeltaRow *row, uint32 low, uint32 high,
					   UnresolvedUsers *users)
{
	(void) GroupCountUsers(count);
	for (int i = 0; i < row->events; i++)
	{
		if (row->offsets[i] < low || row->offsets[i] >= high)
			continue;
		count->events++;
		if (i < row->nusers)
			add_delta_user(users, count, row, i);
	}
}

void
GroupCountAddEvent(GroupCount *count, const ScannedEvent *event, UnresolvedUsers *users)
{
	count->events++;
	(void) GroupCountUsers(count);
	if (event->has_user)
		add_unresolved_user(users, count, event->user, NULL);
}

/*
 * Find the numbers that users have for this answer; USER_UNKNOWN for those who must be looked up.
 * Returns how many these are.
 */
static int
find_local_numbers(UnresolvedUsers *users, uint32 *numbers)
{
	int unknown = 0;

	for (int i = 0; i < users->n; i++)
	{
		const UserMapEntry *entry;

		if (users->unnumbered->members < users->local_room)
		{
			numbers[i] = number_locally(users, users->hashes[i]);
			continue;
		}
		entry = UserMapFind(users->unnumbered, users->hashes[i]);
		numbers[i] = entry != NULL ? entry->number : USER_UNKNOWN;
		unknown += entry == NULL;
	}
	return unknown;
}

/*
 * Look up the users whose numbers are USER_UNKNOWN
 */
static void
look_up_numbers(UnresolvedUsers *users, uint32 *numbers, int unknown)
{
	UserHash *hashes = palloc(unknown * sizeof(UserHash));
	uint32 *found = palloc(unknown * sizeof(uint32));
	int n = 0;

	for (int i = 0; i < users->n; i++)
		if (numbers[i] == USER_UNKNOWN)
			hashes[n++] = users->hashes[i];
	UserNumbersLookup(users->snapshot, n, hashes, found);
	n = 0;
	for (int i = 0; i < users->n; i++)
		if (numbers[i] == USER_UNKNOWN)
		{
			numbers[i] =
				found[n] != USER_UNKNOWN ? found[n] : number_locally(users, users->hashes[i]);
			n++;
		}
	pfree(found);
	pfree(hashes);
}

void
UnresolvedUsersResolve(UnresolvedUsers *users)
{
	uint32 *numbers;
	int unknown;

	if (users->n == 0)
		return;
	numbers = palloc(users->n * sizeof(uint32));
	unknown = find_local_numbers(users, numbers);
	if (unknown > 0)
		look_up_numbers(users, numbers, unknown);
	for (int i = 0; i < users->n; i++)
	{
		if (users->numbers[i] != NULL)
			*users->numbers[i] = is_local(users, numbers[i]) ? USER_ABSENT : numbers[i];
		UserSetAdd(GroupCountUsers(users->counts[i]), numbers[i]);
	}
	pfree(numbers);
	users->n = 0;
}

void
UnresolvedUsersOfDeltas(UnresolvedUsers *users, const DeltaSelection *selection,
						DeltaRowVisitor visitor, void *arg)
{
	DeltaRows(users->snapshot, &users->state, selection, visitor, arg);
	/* before anything else reads deltas, which may free those that these users are of */
	UnresolvedUsersResolve(users);
}
