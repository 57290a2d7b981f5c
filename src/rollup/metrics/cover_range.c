/*
 * cover_range.c
 *
 * Covers a range of time with the coarsest rows that are complete. A bucket's row is complete
 * once the bucket is closed. Rows of the finest level are always complete, apart from deltas.
 */
#include "postgres.h"

#include "rollup/metrics/cover_range.h"

#include "utils/timestamp.h"

/*
 * Add minutes of closed hours, which the rows of their hours hold
 */
static void
add_packed(RangeCover *cover, TimestampTz low, TimestampTz high)
{
	while (low < high)
	{
		TimestampTz end = Min(BucketStart(low, LEVEL_HOUR) + USECS_PER_HOUR, high);

		TimeRangeListAppend(&cover->packed, low, end);
		low = end;
	}
}

static void
add_minutes(RangeCover *cover, TimestampTz low, TimestampTz high, const RollupState *state)
{
	add_packed(cover, low, Min(high, state->hours_closed));
	TimeRangeListAdd(&cover->minutes, Max(low, state->hours_closed), high);
}

/*
 * Add whole buckets of the finest level: the closed buckets of this level in their middle, and
 * what is left at both ends from the level below. The finest level covers everything.
 */
static void
add_level(RangeCover *cover, BucketLevel level, TimestampTz low, TimestampTz high,
		  BucketLevel finest, const RollupState *state)
{
	TimeRangeList *ranges = level == LEVEL_DAY ? &cover->days : &cover->hours;
	TimestampTz closed = level == LEVEL_DAY ? state->days_closed : state->hours_closed;
	TimestampTz first;
	TimestampTz last;

	if (low >= high)
		return;
	if (level == LEVEL_MINUTE)
	{
		add_minutes(cover, low, high, state);
		return;
	}
	if (level == finest)
	{
		TimeRangeListAdd(ranges, low, high);
		return;
	}
	first = BucketEnd(low, level);
	last = Min(BucketStart(high, level), closed);
	if (first >= last)
	{
		add_level(cover, level - 1, low, high, finest, state);
		return;
	}
	add_level(cover, level - 1, low, first, finest, state);
	TimeRangeListAdd(ranges, first, last);
	add_level(cover, level - 1, last, high, finest, state);
}

void
RangeCoverAdd(RangeCover *cover, TimestampTz low, TimestampTz high, BucketLevel finest,
			  const RollupState *state, const TimeRangeList *raw_ranges)
{
	TimestampTz first = BucketEnd(low, finest);
	TimestampTz last = BucketStart(high, finest);

	if (first >= last)
	{
		TimeRangeListAdd(&cover->raw, low, high);
		return;
	}
	TimeRangeListAdd(&cover->raw, low, first);
	for (int i = 0; i < raw_ranges->n; i++)
	{
		TimestampTz raw_low = Max(raw_ranges->ranges[i].low, first);
		TimestampTz raw_high = Min(raw_ranges->ranges[i].high, last);

		if (raw_low >= raw_high)
			continue;
		add_level(cover, LEVEL_DAY, first, raw_low, finest, state);
		TimeRangeListAdd(&cover->raw, raw_low, raw_high);
		first = raw_high;
	}
	add_level(cover, LEVEL_DAY, first, last, finest, state);
	TimeRangeListAdd(&cover->raw, last, high);
}
