/*
 * merge.h
 *
 * Adds events to the rollup. A merger gathers groups in memory, from deltas or from events, and
 * merges them all at once into rows of fast_ingest.rollup. Needs the refresh's lock and SPI
 * (see refresh.h).
 */
#ifndef FAST_INGEST_MERGE_H
#define FAST_INGEST_MERGE_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/state/rollup_state.h"
#include "rollup/users/user_hash.h"

/* What identifies a row of fast_ingest.rollup, except for its parts (see merge_write.c). */
#define KEY_COLUMNS "breakdown, level, event_name, bucket, scope, key, is_other, is_other_name"

typedef struct Merger Merger;
typedef struct MergeGroup MergeGroup;

/*
 * Create a merger in the current memory context, which must be reset or deleted after it. It
 * reads the state, and advances its number of users.
 */
extern Merger *MergerCreate(RollupState *state);

/* The merger's number of an event_name, scope or key, and of a user; valid until the next flush. */
extern uint32 MergerText(Merger *merger, const char *text, size_t len);
extern uint32 MergerUser(Merger *merger, UserHash hash);

/*
 * Find or add the group of a breakdown, event_name, scope, key and bucket, one of the breakdown's
 * finest (see breakdown_buckets.h); valid until the next flush.
 */
extern MergeGroup *MergerGroup(Merger *merger, const Breakdown *breakdown, uint32 event_name,
							   uint32 scope, uint32 key, TimestampTz bucket);

/* Add events to a group, and a user; a user may be added several times. */
extern void MergeGroupEvents(MergeGroup *group, int64 events);
extern void MergeGroupUser(MergeGroup *group, uint32 user);

/*
 * Add when an event was, in microseconds from the beginning of the group's bucket, and its user,
 * or MINUTE_NO_USER. For the groups of breakdowns that keep times, instead of MergeGroupUser.
 */
extern void MergeGroupTime(MergeGroup *group, uint32 offset, uint32 user);

/* Is so much gathered that it should be merged? */
extern bool MergerIsFull(const Merger *merger);

/*
 * Merge what was gathered, and begin anew. An ERROR (54000) if there would be more than MAX_USERS
 * users, or if a row would be over 1 GB.
 */
extern void MergerFlush(Merger *merger);

/*
 * The beginnings of the first and of the last bucket for which anything was gathered; the first
 * is later than the last if nothing was.
 */
extern TimeRange MergerTouched(const Merger *merger);

/* The number of groups merged so far. */
extern int64 MergerGroupsMerged(const Merger *merger);

#endif
