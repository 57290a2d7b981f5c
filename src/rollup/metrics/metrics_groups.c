/*
 * metrics_groups.c
 *
 * The groups of an answer, before anything is counted. If hours or days have no bound at one
 * end, the first or last event of the event_name is searched for to bound them.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_read.h"

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
 * Find a range that holds all events of the event_name. It may be larger than needed: empty
 * groups at its ends are not answered.
 */
static TimeRange
find_extent(MetricsRun *run)
{
	TimeRange extent = RollupExtent(run->event_name);
	/* a bucket that the range cuts has a part in it, too */
	TimeRange buckets = {BucketStart(run->range.low, run->breakdown->finest), run->range.high};

	DeltaRows(run->users.snapshot, run->breakdown->id, run->event_name, buckets, extend_by_delta,
			  &extent);
	for (int i = 0; i < run->raw_ranges->n; i++)
		ScanEvents(run->breakdown, run->query->event_name, run->query->channel,
				   run->raw_ranges->ranges[i], extend_by_event, &extent);
	return extent;
}

void
MetricsRunMakeGroups(MetricsRun *run)
{
	TimeRange range = run->range;

	if (run->kind == GROUP_HOUR || run->kind == GROUP_DAY)
	{
		if (!run->query->has_from || !run->query->has_to)
		{
			TimeRange extent = find_extent(run);

			if (!run->query->has_from)
				range.low = extent.low;
			if (!run->query->has_to)
				range.high = extent.high;
		}
		run->times = CalendarGroups(range.low, range.high, run->kind == GROUP_DAY, run->zone);
		if (run->times == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("group_by=%s has too many groups from \"%s\" to \"%s\": at most "
								   "%d are allowed",
								   run->query->group_by, run->query->names->from,
								   run->query->names->to, MAX_TIME_GROUPS)));
	}
	else
		run->times = CalendarWhole(range.low, range.high);
	run->time_counts = palloc_extended(Max(run->times->n, 1) * sizeof(GroupCount),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	run->has_deltas = palloc0(Max(run->times->npieces, 1) * sizeof(bool));
	if (run->kind == GROUP_KEY)
		run->keys = TextMapCreate(CurrentMemoryContext, 64);
}
