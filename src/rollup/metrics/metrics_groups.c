/*
 * metrics_groups.c
 *
 * The groups of times of an answer, before anything is counted. If they have no bound at one
 * end, the first or last event of the event_name is searched for to bound them.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "rollup/delta/delta_rows.h"
#include "rollup/state/key_limit.h"
#include "rollup/state/recount.h"

void
MetricsRefuseGroups(const MetricsRun *run)
{
	const MetricsQuery *query = run->query;

	if (run->step_name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("step \"%s\" has too many points from \"%s\" to \"%s\": at most %d "
						"are allowed",
						run->step_name, query->names->from, query->names->to, MAX_TIME_GROUPS)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("group_by=%s has too many groups from \"%s\" to \"%s\": at most %d are allowed",
					query->group_by, query->names->from, query->names->to, MAX_TIME_GROUPS)));
}

static void
extend_by_delta(const DeltaRow *row, void *arg)
{
	TimeRange *extent = arg;

	extent->low = Min(extent->low, row->bucket);
	extent->high = Max(extent->high, row->bucket + USECS_PER_MINUTE);
}

static void
extend_by_event(const ScannedEvent *row, void *arg)
{
	TimeRange *extent = arg;

	extent->low = Min(extent->low, row->ts);
	extent->high = Max(extent->high, row->ts + 1);
}

/*
 * Find whole days that hold all events of the event_name. Empty groups at their ends are not
 * answered.
 */
static TimeRange
find_extent(const MetricsRun *run)
{
	Snapshot snapshot = run->users.snapshot;
	TimeRange extent = RollupExtent(run->event_name);
	/* a bucket that the range cuts has a part in it, too */
	DeltaSelection deltas = {.breakdown = run->channels->id,
							 .event_name = run->event_name,
							 .range = {BucketStart(run->range.low, LEVEL_MINUTE), run->range.high}};
	TimeRangeList range = {0};
	TimeRangeList *raw = TimeRangeListUnion(
		RecountRanges(snapshot, run->channels),
		KeyLimitUncertain(run->channels, run->event_name, NULL, NULL, run->range));

	DeltaRows(snapshot, NULL, &deltas, extend_by_delta, &extent);
	TimeRangeListAdd(&range, run->range.low, run->range.high);
	raw = TimeRangeListIntersection(raw, &range);
	for (int i = 0; i < raw->n; i++)
	{
		EventSelection selection = {run->query->event_name, run->nconditions, run->conditions,
									raw->ranges[i]};

		ScanEvents(NULL, &selection, extend_by_event, &extent);
	}
	extent.low = BucketStart(extent.low, LEVEL_DAY);
	extent.high = BucketEnd(extent.high, LEVEL_DAY);
	return extent;
}

TimeRange
MetricsRunBounds(const MetricsRun *run)
{
	const MetricsQuery *query = run->query;
	TimeRange range = run->range;

	if (!query->has_from || !query->has_to || !query->fill)
	{
		TimeRange extent = find_extent(run);

		if (!query->has_from || !query->fill)
			range.low = Max(range.low, extent.low);
		if (!query->has_to || !query->fill)
			range.high = Min(range.high, extent.high);
	}
	return range;
}

void
MetricsRunMakeGroups(MetricsRun *run)
{
	const MetricsQuery *query = run->query;
	Size size;

	/* the first and the last event are searched for only if there is no other way */
	if (run->by_time && query->has_from && query->has_to)
		run->times =
			CalendarGroups(run->range.low, run->range.high, run->step, run->zone, MAX_TIME_GROUPS);
	if (run->by_time && run->times == NULL)
	{
		TimeRange range = MetricsRunBounds(run);

		run->times = CalendarGroups(range.low, range.high, run->step, run->zone,
									query->fill ? MAX_TIME_GROUPS : MAX_COUNTED_GROUPS);
		if (run->times == NULL)
			MetricsRefuseGroups(run);
	}
	if (!run->by_time)
		run->times = CalendarWhole(run->range.low, run->range.high);
	run->has_deltas = palloc0(Max(run->times->npieces, 1) * sizeof(bool));
	size = Max(run->times->n, 1) * sizeof(GroupCount);
	run->total = palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (run->by != BY_NONE)
		run->series = TextMapCreate(CurrentMemoryContext, 64);
}
