/*
 * cover_range.h
 *
 * Divides a range of time among the rows that answer it: rows of days, hours and minutes of
 * the rollup, and raw rows.
 */
#ifndef FAST_INGEST_COVER_RANGE_H
#define FAST_INGEST_COVER_RANGE_H

#include "base/time_ranges.h"
#include "rollup/state/rollup_state.h"

/* The times that are read from each kind of rows. */
typedef struct
{
	TimeRangeList days;
	TimeRangeList hours;
	TimeRangeList packed;  /* minutes of closed hours, in the hour's row; each within one hour */
	TimeRangeList minutes; /* of open hours */
	TimeRangeList raw;
} RangeCover;

/*
 * Add what answers the times from low to high, which are later than all that was added
 * before. The rollup has rows at the levels from finest up. raw_ranges is ordered and consists
 * of whole buckets of the finest level. Its times are read from raw rows, and so are times
 * in a bucket of that level that is only partly between low and high.
 */
extern void RangeCoverAdd(RangeCover *cover, TimestampTz low, TimestampTz high, BucketLevel finest,
						  const RollupState *state, const TimeRangeList *raw_ranges);

#endif
