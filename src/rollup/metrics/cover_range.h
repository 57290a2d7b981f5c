/*
 * cover_range.h
 *
 * How an answer is put together: which times are read from rows of days, hours
 * and minutes, and which from raw rows.
 */
#ifndef FAST_INGEST_COVER_RANGE_H
#define FAST_INGEST_COVER_RANGE_H

#include "base/time_ranges.h"
#include "rollup/state/rollup_state.h"

typedef struct
{
	TimeRangeList days;
	TimeRangeList hours;
	TimeRangeList packed;  /* minutes of closed hours; no span leaves its hour */
	TimeRangeList minutes; /* of open hours */
	TimeRangeList raw;
} RangeCover;

/*
 * Add what answers the times from low to high (later than all that was added
 * before) of a breakdown kept at levels from finest up, some of it dirty. Times that cut
 * a bucket of the finest level, and dirty ones, are raw.
 */
extern void RangeCoverAdd(RangeCover *plan, TimestampTz low, TimestampTz high, BucketLevel finest,
						  const RollupState *state, const TimeRangeList *dirty);

#endif
