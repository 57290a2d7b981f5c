/*
 * cover_range.c
 *
 * Covers a range of time with the coarsest rows that are complete. A bucket's row is complete
 * once the bucket is closed. Rows of the finest level are always complete, apart from deltas. The
 * finest buckets may be wider than a minute, but rows of minutes that are within them do as well.
 */
#include "postgres.h"

#include "rollup/metrics/cover_range.h"

#include "utils/timestamp.h"

#include "rollup/breakdown/breakdown_buckets.h"

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

/*
 * Add whole buckets, which lie on both sides of fine_from perhaps
 */
static void
add_buckets(RangeCover *cover, TimestampTz low, TimestampTz high, const Breakdown *breakdown,
			const RollupState *state)
{
	add_level(cover, LEVEL_DAY, low, Min(high, breakdown->fine_from), LEVEL_DAY, state);
	add_level(cover, LEVEL_DAY, Max(low, breakdown->fine_from), high, breakdown->finest, state);
}

/*
 * Add a part of a bucket of the finest level
 */
static void
add_part(RangeCover *cover, TimestampTz low, TimestampTz high, const TimeRangeList *raw_ranges)
{
	if (cover->has_times && !TimeRangeListHas(raw_ranges, low))
		TimeRangeListAppend(&cover->cut, low, high);
	else
		TimeRangeListAdd(&cover->raw, low, high);
}

void
RangeCoverAdd(RangeCover *cover, TimestampTz low, TimestampTz high, const Breakdown *breakdown,
			  const RollupState *state, const TimeRangeList *raw_ranges)
{
	TimestampTz first = BreakdownBucketEnd(breakdown, low);
	TimestampTz last = BreakdownBucketStart(breakdown, high);

	if (first > last)
	{
		add_part(cover, low, high, raw_ranges);
		return;
	}
	add_part(cover, low, first, raw_ranges);
	for (int i = 0; i < raw_ranges->n; i++)
	{
		TimestampTz raw_low = Max(raw_ranges->ranges[i].low, first);
		TimestampTz raw_high = Min(raw_ranges->ranges[i].high, last);

		if (raw_low >= raw_high)
			continue;
		add_buckets(cover, first, raw_low, breakdown, state);
		TimeRangeListAdd(&cover->raw, raw_low, raw_high);
		first = raw_high;
	}
	add_buckets(cover, first, last, breakdown, state);
	add_part(cover, last, high, raw_ranges);
}
