/*
 * merge.h
 *
 * Adding events to the rollup: groups gather in memory, from deltas or from raw
 * rows, and are merged into rows of fast_ingest.rollup in one go. Needs the
 * refresh's lock and SPI (see refresh.h).
 */
#ifndef FAST_INGEST_MERGE_H
#define FAST_INGEST_MERGE_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/state/rollup_state.h"
#include "rollup/users/user_hash.h"

typedef struct Merger Merger;
typedef struct MergeGroup MergeGroup;

/* Begin to gather, in the current memory context. */
extern Merger *MergerCreate(RollupState *state);

/* The number of a name, scope or key, and of a user; valid until the next flush. */
extern uint32 MergerText(Merger *merger, const char *text, size_t len);
extern uint32 MergerUser(Merger *merger, UserHash hash);

/* The group of a breakdown, event_name, scope, key and bucket. */
extern MergeGroup *MergerGroup(Merger *merger, const Breakdown *breakdown, uint32 event_name,
							   uint32 scope, uint32 key, TimestampTz bucket);

/* Count events of a group, and a user of one of them. */
extern void MergeGroupEvents(MergeGroup *group, int64 events);
extern void MergeGroupUser(MergeGroup *group, uint32 user);

/* Has enough gathered to be merged? */
extern bool MergerIsFull(const Merger *merger);

/* Merge what has gathered, and begin anew. */
extern void MergerFlush(Merger *merger);

/* From the first to the last bucket that was merged into; first behind last if none was. */
extern TimeRange MergerTouched(const Merger *merger);

/* How many groups were merged so far. */
extern int64 MergerGroupsMerged(const Merger *merger);

#endif
