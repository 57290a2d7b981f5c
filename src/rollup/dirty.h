/*
 * dirty.h
 *
 * Times whose events were changed or deleted: rows of fast_ingest.rollup_dirty,
 * written in the transaction of the change. What they cover is answered from
 * raw rows until a refresh has counted it again and deletes them.
 */
#ifndef FAST_INGEST_DIRTY_H
#define FAST_INGEST_DIRTY_H

#include "rollup/breakdown.h"
#include "utils/tuplestore.h"

/* From low (inclusive) to high (exclusive). */
typedef struct
{
	TimestampTz low;
	TimestampTz high;
} Span;

typedef struct
{
	int n;
	uint32 room;
	Span *spans;
} SpanList;

/* The ends of time: every event's ts is between them, and so are whole buckets. */
#define TIME_BEGIN MIN_TIMESTAMP
#define TIME_END END_TIMESTAMP

/* Add a span as it is, unless it is empty. */
extern void SpanListAppend(SpanList *list, TimestampTz low, TimestampTz high);

/*
 * Add a span that begins not before the last one of the list begins, and join
 * it with that one if they touch. A list made so is in order.
 */
extern void SpanListAdd(SpanList *list, TimestampTz low, TimestampTz high);

/* Put spans that were appended in order. */
extern void SpanListSort(SpanList *list);

/* Is a time, or any of the times from low to before high, in a list that is in order? */
extern bool SpanListHas(const SpanList *list, TimestampTz ts);
extern bool SpanListTouches(const SpanList *list, TimestampTz low, TimestampTz high);

/* What is in both lists. */
extern SpanList *SpanListIntersection(const SpanList *a, const SpanList *b);

/* Mark a span in one breakdown, or in all (0). */
extern void DirtyMark(TimestampTz low, TimestampTz high, int breakdown);

/* Mark the minutes of rows that an UPDATE (both) or a DELETE (after is NULL) has touched. */
extern void DirtyMarkRows(Relation relation, Tuplestorestate *before, Tuplestorestate *after);

/* The times whose raw rows are all there, as a snapshot has them, in the current memory context. */
extern SpanList *RawCoverage(Snapshot snapshot);

/*
 * What is dirty in a breakdown for a snapshot and can be counted again, in whole
 * buckets of a level, in the current memory context.
 */
extern SpanList *DirtySpans(Snapshot snapshot, int breakdown, RollupLevel level);

#endif
