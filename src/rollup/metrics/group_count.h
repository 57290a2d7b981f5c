/*
 * group_count.h
 *
 * Counting one group of an answer: events, and users each once, from as few
 * reads of user sets as can be.
 */
#ifndef FAST_INGEST_GROUP_COUNT_H
#define FAST_INGEST_GROUP_COUNT_H

#include "rollup/users/user_numbers.h"
#include "rollup/sets/user_set.h"

typedef struct
{
	int64 events;
	int sources;		/* rows that were added */
	int64 unique_users; /* of the only source, while there is one */
	Datum first;		/* its users, not read yet; 0 when there are none to read */
	UserSet *users;		/* of all sources, from the second on */
} GroupCount;

/* Users of deltas and raw rows, who are known by hash, and where they count. */
typedef struct
{
	Snapshot snapshot;
	int n;
	GroupCount **tallies;
	UserHash *hashes;
	uint32 tally_room;
	uint32 hash_room;
	struct user_map_hash *strangers; /* users who are not in the dictionary */
	uint32 next_stranger;
} UnresolvedUsers;

/*
 * Add a row of the rollup. users is its fi_user_set, or 0 in a row that only
 * counts: such a row must be the only source of its tally.
 */
extern void GroupCountAddRow(GroupCount *tally, int64 events, int64 unique_users, Datum users);

/* The set that users of other kinds of sources are added to. */
extern UserSet *GroupCountUsers(GroupCount *tally);

/* How many users there are; the last call for a tally. */
extern int64 GroupCountUniqueUsers(GroupCount *tally);

extern void UnresolvedUsersInit(UnresolvedUsers *users, Snapshot snapshot);

/* Note that a user counts in a tally. */
extern void UnresolvedUsersAdd(UnresolvedUsers *users, GroupCount *tally, UserHash hash);

/* Add all that were noted to their tallies. */
extern void UnresolvedUsersResolve(UnresolvedUsers *users);

#endif
