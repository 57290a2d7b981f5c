/*
 * time_ranges.h
 *
 * Ranges of time, ordered lists of them, and the buckets that events are counted
 * in: UTC minutes, hours and days. A list grows in the memory context in which its
 * first range was added; functions that return a list allocate it in the current one.
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
	TimeRange *ranges;
} TimeRangeList;

/* Widths of buckets, as column "level" of fast_ingest.rollup has them. */
typedef enum
{
	LEVEL_MINUTE = 1, /* has rows for open hours only; a closed hour's row holds its minutes */
	LEVEL_HOUR = 2,
	LEVEL_DAY = 3
} BucketLevel;

/* The ends of time: every event's ts is between them, and both are bounds of days. */
#define TIME_BEGIN MIN_TIMESTAMP
#define TIME_END END_TIMESTAMP

/* The last multiple of a width, counted from 2000-01-01, that is not after a time. */
extern int64 TimeFloor(int64 ts, int64 width);

/* The first multiple of a width that is not before a time. */
extern int64 TimeCeiling(int64 ts, int64 width);

/* Microseconds of a bucket. */
extern int64 BucketWidth(BucketLevel level);

/* The beginning of the bucket that holds a time. */
extern int64 BucketStart(int64 ts, BucketLevel level);

/* The end of the bucket that holds the last microsecond before a time. */
extern int64 BucketEnd(int64 ts, BucketLevel level);

/*
 * Write a range to two columns of a row, and read it from two columns, of which the
 * first has the number first_column. The columns hold -infinity and infinity for the
 * ends of time: SQL prints a time as late as TIME_END but cannot read it back, and a
 * restore must be able to read what pg_dump wrote.
 */
extern void TimeRangeToColumns(TimeRange range, Datum columns[2]);
extern TimeRange TimeRangeFromColumns(TupleTableSlot *slot, int first_column);

/* Add a range at the end of a list. An empty range is ignored. */
extern void TimeRangeListAppend(TimeRangeList *list, TimestampTz low, TimestampTz high);

/*
 * Add a range that does not begin before the last range of the list, and join the two
 * if they touch. A list to which ranges are added in this way only is ordered. An empty
 * range is ignored.
 */
extern void TimeRangeListAdd(TimeRangeList *list, TimestampTz low, TimestampTz high);

/* Order the ranges of a list by their beginnings. */
extern void TimeRangeListSort(TimeRangeList *list);

/* Order the ranges of a list, and join those that touch. */
extern void TimeRangeListJoin(TimeRangeList *list);

/* Does an ordered list hold a time, or any time from low to before high? */
extern bool TimeRangeListHas(const TimeRangeList *list, TimestampTz ts);
extern bool TimeRangeListTouches(const TimeRangeList *list, TimestampTz low, TimestampTz high);

/* The times in either of two ordered lists. */
extern TimeRangeList *TimeRangeListUnion(const TimeRangeList *a, const TimeRangeList *b);

/* The times in ordered list a that are not in ordered list b. */
extern TimeRangeList *TimeRangeListDifference(const TimeRangeList *a, const TimeRangeList *b);

/* The times in both of two ordered lists. */
extern TimeRangeList *TimeRangeListIntersection(const TimeRangeList *a, const TimeRangeList *b);

/* The whole buckets of a level that an ordered list has any part of. */
extern TimeRangeList *TimeRangeListWholeBuckets(const TimeRangeList *list, BucketLevel level);

#endif
