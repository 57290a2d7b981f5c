/*
 * breakdown_buckets.c
 *
 * Rounds times to the finest buckets of a breakdown. fine_from is a beginning of a day, so no
 * bucket reaches across it.
 */
#include "postgres.h"

#include "rollup/breakdown/breakdown_buckets.h"

BucketLevel
BreakdownFinest(const Breakdown *breakdown, TimestampTz ts)
{
	return ts < breakdown->fine_from ? LEVEL_DAY : breakdown->finest;
}

int64
BreakdownWidth(const Breakdown *breakdown, TimestampTz ts)
{
	return ts < breakdown->fine_from ? USECS_PER_DAY : breakdown->width;
}

TimestampTz
BreakdownBucketStart(const Breakdown *breakdown, TimestampTz ts)
{
	return TimeFloor(ts, BreakdownWidth(breakdown, ts));
}

TimestampTz
BreakdownBucketEnd(const Breakdown *breakdown, TimestampTz ts)
{
	return TimeCeiling(ts, BreakdownWidth(breakdown, ts - 1));
}

TimeRangeList *
BreakdownTouchedBuckets(const Breakdown *breakdown, const TimeRangeList *list)
{
	TimeRangeList *buckets = palloc0(sizeof(TimeRangeList));

	for (int i = 0; i < list->n; i++)
		TimeRangeListAdd(buckets, BreakdownBucketStart(breakdown, list->ranges[i].low),
						 BreakdownBucketEnd(breakdown, list->ranges[i].high));
	return buckets;
}

TimeRangeList *
BreakdownWholeBuckets(const Breakdown *breakdown, const TimeRangeList *list)
{
	TimeRangeList *buckets = palloc0(sizeof(TimeRangeList));

	for (int i = 0; i < list->n; i++)
		TimeRangeListAdd(buckets, BreakdownBucketEnd(breakdown, list->ranges[i].low),
						 BreakdownBucketStart(breakdown, list->ranges[i].high));
	return buckets;
}
