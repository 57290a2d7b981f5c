/*
 * time_ranges.h
 *
 * Spans of time, and lists of them in the memory context that is current when
 * they grow first.
 */
#ifndef FAST_INGEST_TIME_RANGES_H
#define FAST_INGEST_TIME_RANGES_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"

/* From low (inclusive) to high (exclusive). */
typedef struct
{
	TimestampTz low;
	TimestampTz high;
} TimeRange;

typedef struct
{
	int n;
	uint32 room;
	TimeRange *spans;
} TimeRangeList;

/* The ends of time: every event's ts is between them, and so are whole buckets. */
#define TIME_BEGIN MIN_TIMESTAMP
#define TIME_END END_TIMESTAMP

/*
 * A span in two columns of a row: the ends of time are -infinity and infinity there,
 * for SQL prints times as late as TIME_END, but does not read them back, and what
 * pg_dump writes must be read.
 */
extern void TimeRangeToColumns(TimeRange span, Datum columns[2]);
extern TimeRange TimeRangeFromColumns(TupleTableSlot *slot, int first_column);

/* Add a span as it is, unless it is empty. */
extern void TimeRangeListAppend(TimeRangeList *list, TimestampTz low, TimestampTz high);

/*
 * Add a span that begins not before the last one of the list begins, and join
 * it with that one if they touch. A list made so is in order.
 */
extern void TimeRangeListAdd(TimeRangeList *list, TimestampTz low, TimestampTz high);

/* Put spans that were appended in order. */
extern void TimeRangeListSort(TimeRangeList *list);

/* The same, and join those that touch. */
extern void TimeRangeListJoin(TimeRangeList *list);

/* Is a time, or any of the times from low to before high, in a list that is in order? */
extern bool TimeRangeListHas(const TimeRangeList *list, TimestampTz ts);
extern bool TimeRangeListTouches(const TimeRangeList *list, TimestampTz low, TimestampTz high);

/* What is in either of two lists that are in order. */
extern TimeRangeList *TimeRangeListUnion(const TimeRangeList *a, const TimeRangeList *b);

/* What is in one list, in order, and not in another. */
extern TimeRangeList *TimeRangeListDifference(const TimeRangeList *a, const TimeRangeList *b);

/* What is in both lists. */
extern TimeRangeList *TimeRangeListIntersection(const TimeRangeList *a, const TimeRangeList *b);

#endif
