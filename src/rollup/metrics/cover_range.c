/*
 * cover_range.c
 *
 * Covers a range of time with the coarsest rows that are complete.
 */
#include "postgres.h"

#include "rollup/metrics/cover_range.h"

#include "utils/timestamp.h"

static TimestampTz
round_up(TimestampTz ts, BucketLevel level)
{
	TimestampTz start = BucketStart(ts, level);

	return start == ts ? ts : start + BucketWidth(level);
}

/*
 * Minutes of closed hours, which their hours' rows hold
 */
static void
add_packed(RangeCover *plan, TimestampTz low, TimestampTz high)
{
	while (low < high)
	{
		TimestampTz end = Min(BucketStart(low, LEVEL_HOUR) + USECS_PER_HOUR, high);

		TimeRangeListAppend(&plan->packed, low, end);
		low = end;
	}
}

static void
add_minutes(RangeCover *plan, TimestampTz low, TimestampTz high, const RollupState *state)
{
	add_packed(plan, low, Min(high, state->hours_closed));
	TimeRangeListAdd(&plan->minutes, Max(low, state->hours_closed), high);
}

/*
 * Whole buckets of the finest level: those in the middle that make up whole
 * buckets of this level by these, if they are closed, and the ends by the level
 * below. At the finest level itself all is there.
 */
static void
add_level(RangeCover *plan, BucketLevel level, TimestampTz low, TimestampTz high,
		  BucketLevel finest, const RollupState *state)
{
	TimeRangeList *spans = level == LEVEL_DAY ? &plan->days : &plan->hours;
	TimestampTz closed = level == LEVEL_DAY ? state->days_closed : state->hours_closed;
	TimestampTz first;
	TimestampTz last;

	if (low >= high)
		return;
	if (level == LEVEL_MINUTE)
	{
		add_minutes(plan, low, high, state);
		return;
	}
	if (level == finest)
	{
		TimeRangeListAdd(spans, low, high);
		return;
	}
	first = round_up(low, level);
	last = Min(BucketStart(high, level), closed);
	if (first >= last)
	{
		add_level(plan, level - 1, low, high, finest, state);
		return;
	}
	add_level(plan, level - 1, low, first, finest, state);
	TimeRangeListAdd(spans, first, last);
	add_level(plan, level - 1, last, high, finest, state);
}

void
RangeCoverAdd(RangeCover *plan, TimestampTz low, TimestampTz high, BucketLevel finest,
			  const RollupState *state, const TimeRangeList *dirty)
{
	TimestampTz first = round_up(low, finest);
	TimestampTz last = BucketStart(high, finest);

	if (first >= last)
	{
		TimeRangeListAdd(&plan->raw, low, high);
		return;
	}
	TimeRangeListAdd(&plan->raw, low, first);
	for (int i = 0; i < dirty->n; i++)
	{
		TimestampTz dirty_low = Max(dirty->ranges[i].low, first);
		TimestampTz dirty_high = Min(dirty->ranges[i].high, last);

		if (dirty_low >= dirty_high)
			continue;
		add_level(plan, LEVEL_DAY, first, dirty_low, finest, state);
		TimeRangeListAdd(&plan->raw, dirty_low, dirty_high);
		first = dirty_high;
	}
	add_level(plan, LEVEL_DAY, first, last, finest, state);
	TimeRangeListAdd(&plan->raw, last, high);
}
