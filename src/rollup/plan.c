/*
 * plan.c
 *
 * Covers a range of time with the coarsest rows that are complete.
 */
#include "postgres.h"

#include "rollup/plan.h"

#include "utils/timestamp.h"

static TimestampTz
round_up(TimestampTz ts, RollupLevel level)
{
	TimestampTz start = BucketStart(ts, level);

	return start == ts ? ts : start + BucketWidth(level);
}

/*
 * Minutes of closed hours, which their hours' rows hold
 */
static void
add_packed(AnswerPlan *plan, TimestampTz low, TimestampTz high)
{
	while (low < high)
	{
		TimestampTz end = Min(BucketStart(low, LEVEL_HOUR) + USECS_PER_HOUR, high);

		SpanListAppend(&plan->packed, low, end);
		low = end;
	}
}

static void
add_minutes(AnswerPlan *plan, TimestampTz low, TimestampTz high, const RollupState *state)
{
	add_packed(plan, low, Min(high, state->hours_closed));
	SpanListAdd(&plan->minutes, Max(low, state->hours_closed), high);
}

/*
 * Whole minutes or hours: those in the middle that make up whole hours by the
 * hour, if these are closed
 */
static void
add_hours(AnswerPlan *plan, TimestampTz low, TimestampTz high, RollupLevel finest,
		  const RollupState *state)
{
	TimestampTz first;
	TimestampTz last;

	if (low >= high)
		return;
	if (finest == LEVEL_HOUR)
	{
		SpanListAdd(&plan->hours, low, high);
		return;
	}
	first = round_up(low, LEVEL_HOUR);
	last = Min(BucketStart(high, LEVEL_HOUR), state->hours_closed);
	if (first >= last)
	{
		add_minutes(plan, low, high, state);
		return;
	}
	add_minutes(plan, low, first, state);
	SpanListAdd(&plan->hours, first, last);
	add_minutes(plan, last, high, state);
}

/*
 * Whole buckets of the finest level: those in the middle that make up whole
 * days by the day, if these are closed
 */
static void
add_days(AnswerPlan *plan, TimestampTz low, TimestampTz high, RollupLevel finest,
		 const RollupState *state)
{
	TimestampTz first;
	TimestampTz last;

	if (low >= high)
		return;
	if (finest == LEVEL_DAY)
	{
		SpanListAdd(&plan->days, low, high);
		return;
	}
	first = round_up(low, LEVEL_DAY);
	last = Min(BucketStart(high, LEVEL_DAY), state->days_closed);
	if (first >= last)
	{
		add_hours(plan, low, high, finest, state);
		return;
	}
	add_hours(plan, low, first, finest, state);
	SpanListAdd(&plan->days, first, last);
	add_hours(plan, last, high, finest, state);
}

void
PlanAdd(AnswerPlan *plan, TimestampTz low, TimestampTz high, RollupLevel finest,
		const RollupState *state, const SpanList *dirty)
{
	TimestampTz first = round_up(low, finest);
	TimestampTz last = BucketStart(high, finest);

	if (first >= last)
	{
		SpanListAdd(&plan->raw, low, high);
		return;
	}
	SpanListAdd(&plan->raw, low, first);
	for (int i = 0; i < dirty->n; i++)
	{
		TimestampTz dirty_low = Max(dirty->spans[i].low, first);
		TimestampTz dirty_high = Min(dirty->spans[i].high, last);

		if (dirty_low >= dirty_high)
			continue;
		add_days(plan, first, dirty_low, finest, state);
		SpanListAdd(&plan->raw, dirty_low, dirty_high);
		first = dirty_high;
	}
	add_days(plan, first, last, finest, state);
	SpanListAdd(&plan->raw, last, high);
}
