/*
 * recount.h
 *
 * Times whose events were changed or deleted: rows of fast_ingest.rollup_dirty,
 * written in the transaction of the change. What they cover is answered from
 * raw rows until a refresh has counted it again and deletes them.
 */
#ifndef FAST_INGEST_RECOUNT_H
#define FAST_INGEST_RECOUNT_H

#include "utils/tuplestore.h"

#include "base/time_ranges.h"
#include "rollup/breakdown/breakdown.h"

/* Mark a span in one breakdown, or in all (0). */
extern void RecountMark(TimestampTz low, TimestampTz high, int breakdown);

/* Mark the minutes of rows that an UPDATE (both) or a DELETE (after is NULL) has touched. */
extern void RecountMarkRows(Relation relation, Tuplestorestate *before, Tuplestorestate *after);

/* The times whose raw rows are all there, as a snapshot has them, in the current memory context. */
extern TimeRangeList *EventsCoverage(Snapshot snapshot);

/* Is anything of the days that spans in order have a part of dirty for a snapshot? */
extern bool RecountTouches(Snapshot snapshot, const TimeRangeList *spans);

/*
 * What is dirty in a breakdown for a snapshot and can be counted again, in whole
 * buckets of a level, in the current memory context.
 */
extern TimeRangeList *RecountRanges(Snapshot snapshot, int breakdown, BucketLevel level);

/*
 * What a breakdown does not know and cannot be counted: it was added when the rows
 * had gone. In whole buckets of a level, in the current memory context.
 */
extern TimeRangeList *RecountImpossible(Snapshot snapshot, int breakdown, BucketLevel level);

/* Delete the marks of a snapshot, but for those of what cannot be counted. */
extern void RecountForget(Snapshot snapshot, const BreakdownList *breakdowns);

#endif
