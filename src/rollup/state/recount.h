/*
 * recount.h
 *
 * Marks of times that must be counted again, because events were changed or deleted, or because
 * a breakdown was added: rows of fast_ingest.recount, written in the transaction of the
 * change. Queries about these times are answered from events until a refresh has counted
 * them again and deletes the marks. All lists are ordered, and results are allocated in the
 * current memory context.
 */
#ifndef FAST_INGEST_RECOUNT_H
#define FAST_INGEST_RECOUNT_H

#include "utils/tuplestore.h"

#include "base/time_ranges.h"
#include "rollup/breakdown/breakdown.h"

/* Mark a range in one breakdown, or in all (0). The range must not be empty. */
extern void RecountMark(TimestampTz low, TimestampTz high, int breakdown);

/*
 * Mark the minutes of the rows that an UPDATE has changed (before and after), or that a DELETE
 * has removed (after is NULL). An ERROR (22008) for a row with an infinite ts.
 */
extern void RecountMarkRows(Relation relation, Tuplestorestate *before, Tuplestorestate *after);

/* The times of which no events are lost: a snapshot shows all their events but deleted ones. */
extern TimeRangeList *EventsCoverage(Snapshot snapshot);

/* Does a snapshot show a mark on any UTC day that some times have a part of? */
extern bool RecountTouches(Snapshot snapshot, const TimeRangeList *times);

/*
 * The finest buckets of a breakdown that a snapshot shows marked, and that can be counted again
 * because their events are all there.
 */
extern TimeRangeList *RecountRanges(Snapshot snapshot, const Breakdown *breakdown);

/*
 * The finest buckets of a breakdown that a snapshot shows marked, and that the rollup does not
 * know: those of RecountRanges, and those whose events were all there, but are going or have gone
 * since the snapshot was taken.
 */
extern TimeRangeList *RecountPending(Snapshot snapshot, const Breakdown *breakdown);

/*
 * The finest buckets of a breakdown that are marked in it and can never be counted: the breakdown
 * was added when events of them were lost already (see lost_rows.h).
 */
extern TimeRangeList *RecountImpossible(Snapshot snapshot, const Breakdown *breakdown);

/* Delete the marks that a snapshot shows, but keep those of RecountImpossible. */
extern void RecountForget(Snapshot snapshot, const BreakdownList *breakdowns);

#endif
