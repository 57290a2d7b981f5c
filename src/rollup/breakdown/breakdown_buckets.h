/*
 * breakdown_buckets.h
 *
 * The finest buckets of which the rollup has rows of a breakdown: of the breakdown's width, and
 * on days that begin before its fine_from whole days.
 */
#ifndef FAST_INGEST_BREAKDOWN_BUCKETS_H
#define FAST_INGEST_BREAKDOWN_BUCKETS_H

#include "rollup/breakdown/breakdown.h"

/* The level of the finest bucket that holds a time, and its width in microseconds. */
extern BucketLevel BreakdownFinest(const Breakdown *breakdown, TimestampTz ts);
extern int64 BreakdownWidth(const Breakdown *breakdown, TimestampTz ts);

/* The beginning of the finest bucket that holds a time. */
extern TimestampTz BreakdownBucketStart(const Breakdown *breakdown, TimestampTz ts);

/* The end of the finest bucket that holds the last microsecond before a time. */
extern TimestampTz BreakdownBucketEnd(const Breakdown *breakdown, TimestampTz ts);

/* The finest buckets that an ordered list has any part of, and those that it has all of. */
extern TimeRangeList *BreakdownTouchedBuckets(const Breakdown *breakdown,
											  const TimeRangeList *list);
extern TimeRangeList *BreakdownWholeBuckets(const Breakdown *breakdown, const TimeRangeList *list);

#endif
