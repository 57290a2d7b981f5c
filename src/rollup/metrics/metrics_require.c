/*
 * metrics_require.c
 *
 * Errors where an answer needs raw rows that have been dropped.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/timestamp.h"

#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/delta/delta_rows.h"
#include "rollup/metrics/cover_range.h"
#include "rollup/state/recount.h"

static void
add_to_sum(const RollupRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

static void
add_delta_to_sum(const DeltaRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

/*
 * Sum the events that the rollup and deltas have for a breakdown in a range of whole buckets,
 * whatever their keys. A row of an hour that reaches into the range counts as a whole: zero is
 * exact, and that is what callers ask for.
 */
static int64
sum_known_events(const MetricsRun *run, const Breakdown *breakdown, TimeRange range)
{
	static const TimeRangeList no_ranges = {0};
	RangeCover cover = {0};
	RollupSelection rows = {.breakdown = breakdown->id, .event_name = run->event_name};
	DeltaSelection deltas = {
		.breakdown = breakdown->id, .event_name = run->event_name, .range = range};
	int64 events = 0;

	RangeCoverAdd(&cover, range.low, range.high, breakdown, &run->state, &no_ranges);
	for (int i = 0; i < cover.packed.n; i++)
	{
		TimestampTz hour = BucketStart(cover.packed.ranges[i].low, LEVEL_HOUR);

		TimeRangeListAppend(&cover.hours, hour, hour + 1);
	}
	(void) RollupRowsOfLevel(&rows, LEVEL_DAY, &cover.days, add_to_sum, &events);
	(void) RollupRowsOfLevel(&rows, LEVEL_HOUR, &cover.hours, add_to_sum, &events);
	(void) RollupRowsOfLevel(&rows, LEVEL_MINUTE, &cover.minutes, add_to_sum, &events);
	DeltaRows(run->users.snapshot, NULL, &deltas, add_delta_to_sum, &events);
	return events;
}

void
MetricsRunRequireBreakdown(const MetricsRun *run)
{
	TimeRangeList range = {0};
	const TimeRangeList *missing;

	TimeRangeListAdd(&range, run->range.low, run->range.high);
	missing =
		TimeRangeListIntersection(RecountImpossible(run->users.snapshot, run->breakdown), &range);
	for (int i = 0; i < missing->n; i++)
	{
		TimestampTz high = missing->ranges[i].high;
		TimeRange minutes = {BucketStart(missing->ranges[i].low, LEVEL_MINUTE),
							 BucketEnd(high, LEVEL_MINUTE)};

		if (sum_known_events(run, run->channels, minutes) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("raw events before %s are needed and have been dropped",
							timestamptz_to_str(high)),
					 errdetail("Breakdown \"%s\" was added after that.", run->breakdown->name),
					 errhint("Ask for other times.")));
	}
}

static const char *
describe_width(int64 width)
{
	return width == USECS_PER_DAY	 ? "days (UTC)"
		   : width == USECS_PER_HOUR ? "hours"
		   : width == QUARTER_WIDTH	 ? "quarters of an hour"
									 : "minutes";
}

void
MetricsRunRequireRawRows(const MetricsRun *run, const TimeRangeList *raw)
{
	/* a breakdown may be younger than dropped events; the channels know all */
	const Breakdown *breakdown = run->all_raw ? run->channels : run->breakdown;
	const TimeRangeList *missing;

	if (raw->n == 0)
		return;
	missing = TimeRangeListDifference(raw, EventsCoverage(run->users.snapshot));
	for (int i = 0; i < missing->n; i++)
	{
		TimestampTz low = BreakdownBucketStart(breakdown, missing->ranges[i].low);
		TimestampTz high = BreakdownBucketEnd(breakdown, missing->ranges[i].high);

		if (sum_known_events(run, breakdown, (TimeRange){low, high}) == 0)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("raw events before %s are needed and have been dropped",
						timestamptz_to_str(missing->ranges[i].high)),
				 run->all_raw
					 ? errdetail("The rollup has no rows for these filters and this group_by.")
					 : 0,
				 run->all_raw ? errhint("Ask for other times. See fi_add_breakdown().")
				 : TimeRangeListTouches(run->raw_ranges, low, high)
					 ? errhint("Some were changed before that. Ask again in a new transaction, "
							   "after fi_refresh().")
					 : errhint("Ask for a range of whole %s.",
							   describe_width(BreakdownWidth(breakdown, low)))));
	}
}
