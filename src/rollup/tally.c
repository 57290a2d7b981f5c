/*
 * tally.c
 *
 * The first row of a tally is only remembered: its count of users is the
 * answer if no other comes. From the second on sets are united.
 *
 * Deltas and raw rows know users by hash. Who is in the dictionary is known by
 * number in the rollup as well; the others are strangers to it, and get numbers
 * of this answer from above, where the dictionary never reaches.
 */
#include "postgres.h"

#include "rollup/tally.h"

#include "utils/datum.h"

/* Users looked up at a time. */
#define MAX_HASHED_USERS 65536

typedef struct
{
	UserHash hash;
	uint32 number;
	char status;
} Stranger;

static inline uint32
hash_stranger(UserHash hash)
{
	uint32 result;

	memcpy(&result, hash.bytes, sizeof(result));
	return result;
}

#define SH_PREFIX strangers
#define SH_ELEMENT_TYPE Stranger
#define SH_KEY_TYPE UserHash
#define SH_KEY hash
#define SH_HASH_KEY(table, key) hash_stranger(key)
#define SH_EQUAL(table, a, b) (memcmp((a).bytes, (b).bytes, USER_HASH_SIZE) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

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
TallyUsers(Tally *tally)
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
TallyRow(Tally *tally, int64 events, int64 unique_users, Datum users)
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
		UserSetUnionDatum(TallyUsers(tally), users);
	}
	tally->sources++;
}

int64
TallyUniqueUsers(Tally *tally)
{
	return tally->users == NULL ? tally->unique_users : (int64) UserSetCardinality(tally->users);
}

void
HashedUsersInit(HashedUsers *users, Snapshot snapshot)
{
	memset(users, 0, sizeof(*users));
	users->snapshot = snapshot;
	users->next_stranger = USER_UNKNOWN - 1;
	users->strangers = strangers_create(CurrentMemoryContext, 64, NULL);
}

void
HashedUsersAdd(HashedUsers *users, Tally *tally, UserHash hash)
{
	if (users->n == MAX_HASHED_USERS)
		HashedUsersResolve(users);
	if (users->n == users->room)
	{
		users->room = users->room == 0 ? 64 : users->room * 2;
		users->tallies = users->tallies == NULL
							 ? palloc(users->room * sizeof(Tally *))
							 : repalloc(users->tallies, users->room * sizeof(Tally *));
		users->hashes = users->hashes == NULL
							? palloc(users->room * sizeof(UserHash))
							: repalloc(users->hashes, users->room * sizeof(UserHash));
	}
	users->tallies[users->n] = tally;
	users->hashes[users->n++] = hash;
}

void
HashedUsersResolve(HashedUsers *users)
{
	uint32 *numbers;

	if (users->n == 0)
		return;
	numbers = palloc(users->n * sizeof(uint32));
	DictionaryLookup(users->snapshot, users->n, users->hashes, numbers);
	for (int i = 0; i < users->n; i++)
	{
		if (numbers[i] == USER_UNKNOWN)
		{
			bool found;
			Stranger *stranger = strangers_insert(users->strangers, users->hashes[i], &found);

			if (!found)
				stranger->number = users->next_stranger--;
			numbers[i] = stranger->number;
		}
		UserSetAdd(TallyUsers(users->tallies[i]), numbers[i]);
	}
	pfree(numbers);
	users->n = 0;
}
