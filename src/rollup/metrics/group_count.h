/*
 * group_count.h
 *
 * Counts the events and the unique users of one group of an answer. User sets are read only
 * if they have to be united.
 */
#ifndef FAST_INGEST_GROUP_COUNT_H
#define FAST_INGEST_GROUP_COUNT_H

#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_rows.h"
#include "rollup/sets/user_set.h"
#include "rollup/state/rollup_state.h"

typedef struct
{
	int64 events;
	int rows;			/* of the rollup that were added */
	int64 unique_users; /* of the first row */
	Datum first;		/* users of the first row: an fi_user_set, not read yet, or 0 */
	UserSet *users;		/* users of everything that was added; NULL: the first row has them */
	bool is_answered;	/* it is among the largest groups, if only these are answered */
} GroupCount;

/*
 * Users of deltas and events, who are known by their hash, and the group that each of them
 * counts in.
 */
typedef struct
{
	Snapshot snapshot;
	UserNumbersState state; /* what the snapshot shows of numbers */
	int n;
	GroupCount **counts; /* of the user with the same index in hashes */
	UserHash *hashes;
	uint32 **numbers; /* NULL, or where the cache of deltas has the user's number */
	uint32 count_room;
	uint32 hash_room;
	uint32 number_room;
	struct user_map_hash *unnumbered; /* users who have a number for this answer only */
	uint32 next_number;				  /* for the next one of them */
	uint32 local_room;				  /* so many get one without being looked up */
} UnresolvedUsers;

/*
 * Add a row of the rollup. users is its fi_user_set, or 0 if the row has none: then nothing
 * else may be added to the group, which is an error XX001.
 */
extern void GroupCountAddRow(GroupCount *count, int64 events, int64 unique_users, Datum users);

/*
 * Add a group of a delta, its events from low to before high (microseconds in the bucket; the
 * group has offsets), or an event. Its users are added to users, and count once these are
 * resolved.
 */
extern void GroupCountAddDelta(GroupCount *count, const DeltaRow *row, UnresolvedUsers *users);
extern void GroupCountAddDeltaPart(GroupCount *count, const DeltaRow *row, uint32 low, uint32 high,
								   UnresolvedUsers *users);
extern void GroupCountAddEvent(GroupCount *count, const ScannedEvent *event,
							   UnresolvedUsers *users);

/*
 * Add all that was counted in a group to another one. Nothing may be added to the group after
 * this call. An error XX001 if a row without a set was added to it and is not all of the other.
 */
extern void GroupCountUnite(GroupCount *count, const GroupCount *group);

/* The set of the group's users, to add more. An error XX001 if a row without a set was added. */
extern UserSet *GroupCountUsers(GroupCount *count);

/* The number of unique users. Nothing may be added after this call. */
extern int64 GroupCountUniqueUsers(GroupCount *count);

/*
 * Begin without users, in the current memory context. Users are looked up in the snapshot, which
 * shows the state; unless only events are counted, and no row of the rollup: then most of them need
 * no look-up.
 */
extern void UnresolvedUsersInit(UnresolvedUsers *users, Snapshot snapshot, const RollupState *state,
								bool only_events);

/* Visit deltas, as DeltaRows does, to add them to groups; their users are resolved, too. */
extern void UnresolvedUsersOfDeltas(UnresolvedUsers *users, const DeltaSelection *selection,
									DeltaRowVisitor visitor, void *arg);

/* Look up all users that were added, and add them to the sets of their groups. */
extern void UnresolvedUsersResolve(UnresolvedUsers *users);

#endif
