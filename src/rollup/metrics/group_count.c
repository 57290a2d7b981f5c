/*
 * group_count.c
 *
 * The first row of a tally is only remembered: its count of users is the
 * answer if no other comes. From the second on sets are united.
 *
 * Deltas and raw rows know users by hash. Who is in the dictionary is known by
 * number in the rollup as well; the others are strangers to it, and get numbers
 * of this answer from above, where the dictionary never reaches.
 */
#include "postgres.h"

#include "rollup/metrics/group_count.h"

#include "utils/datum.h"

#include "rollup/users/user_map.h"
#include "base/grow_array.h"

/* Users looked up at a time. */
#define MAX_HASHED_USERS 65536

/*
 * Only hours' totals have no users, and an hour has one: whoever writes to the
 * rollup by hand must not crash the server
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
GroupCountUsers(GroupCount *tally)
{
	if (tally->users == NULL)
	{
		tally->users = UserSetCreate();
		if (tally->sources > 0)
		{
			require_users(tally->first);
			UserSetUnionDatum(tally->users, tally->first);
		}
	}
	return tally->users;
}

void
GroupCountAddRow(GroupCount *tally, int64 events, int64 unique_users, Datum users)
{
	tally->events += events;
	if (tally->sources == 0 && tally->users == NULL)
	{
		tally->unique_users = unique_users;
		if (users != (Datum) 0)
			tally->first = datumCopy(users, false, -1);
	}
	else
	{
		require_users(users);
		UserSetUnionDatum(GroupCountUsers(tally), users);
	}
	tally->sources++;
}

int64
GroupCountUniqueUsers(GroupCount *tally)
{
	return tally->users == NULL ? tally->unique_users : (int64) UserSetCardinality(tally->users);
}

void
UnresolvedUsersInit(UnresolvedUsers *users, Snapshot snapshot)
{
	memset(users, 0, sizeof(*users));
	users->snapshot = snapshot;
	users->next_stranger = USER_UNKNOWN - 1;
	users->strangers = UserMapCreate(CurrentMemoryContext, 64);
}

void
UnresolvedUsersAdd(UnresolvedUsers *users, GroupCount *tally, UserHash hash)
{
	if (users->n == MAX_HASHED_USERS)
		UnresolvedUsersResolve(users);
	users->tallies = GrowArray(CurrentMemoryContext, users->tallies, users->n, &users->tally_room,
							   sizeof(GroupCount *));
	users->hashes = GrowArray(CurrentMemoryContext, users->hashes, users->n, &users->hash_room,
							  sizeof(UserHash));
	users->tallies[users->n] = tally;
	users->hashes[users->n++] = hash;
}

void
UnresolvedUsersResolve(UnresolvedUsers *users)
{
	uint32 *numbers;

	if (users->n == 0)
		return;
	numbers = palloc(users->n * sizeof(uint32));
	UserNumbersLookup(users->snapshot, users->n, users->hashes, numbers);
	for (int i = 0; i < users->n; i++)
	{
		if (numbers[i] == USER_UNKNOWN)
		{
			bool found;
			UserMapEntry *stranger = UserMapAdd(users->strangers, users->hashes[i], &found);

			if (!found)
				stranger->number = users->next_stranger--;
			numbers[i] = stranger->number;
		}
		UserSetAdd(GroupCountUsers(users->tallies[i]), numbers[i]);
	}
	pfree(numbers);
	users->n = 0;
}
