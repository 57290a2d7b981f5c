/*
 * cover_range.h
 *
 * Divides a range of time among the rows that answer it: rows of days, hours and minutes of
 * the rollup, and raw rows.
 */
#ifndef FAST_INGEST_COVER_RANGE_H
#define FAST_INGEST_COVER_RANGE_H

#include "base/time_ranges.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/state/rollup_state.h"

/* The times that are read from each kind of rows. */
typedef struct
{
	TimeRangeList days;
	TimeRangeList hours;
	TimeRangeList packed;  /* minutes of closed hours, in the hour's row; each within one hour */
	TimeRangeList minutes; /* of open hours */
	TimeRangeList cut;	   /* parts of minutes, whose rows have the times of events */
	TimeRangeList raw;
	bool has_times; /* set before anything is added: rows have the times of events */
} RangeCover;

/*
 * Add what answers the times from low to high, which are later than all that was added
 * before. raw_ranges is ordered and consists of whole buckets, the breakdown's finest. Its times
 * are read from raw rows, and so are times in such a bucket that is only partly between low and
 * high, unless rows have times.
 */
extern void RangeCoverAdd(RangeCover *cover, TimestampTz low, TimestampTz high,
						  const Breakdown *breakdown, const RollupState *state,
						  const TimeRangeList *raw_ranges);

#endif
