/*
 * metrics_groups.c
 *
 * The groups of a question: which tallies there are before anything is read, and
 * which rows of the answer they become.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_read.h"

/*
 * Look for events of the answer's event_name: where must hours and days without
 * bounds begin and end?
 */
static void
extend_by_delta(const DeltaRow *row, void *arg)
{
	TimeRange *extent = arg;

	extent->low = Min(extent->low, row->bucket);
	extent->high = Max(extent->high, row->bucket + USECS_PER_MINUTE);
}

static void
extend_by_raw(const ScannedEvent *row, void *arg)
{
	TimeRange *extent = arg;

	extent->low = Min(extent->low, row->ts);
	extent->high = Max(extent->high, row->ts + 1);
}

static TimeRange
extent_of_data(MetricsRun *question)
{
	TimeRange extent = RollupExtent(question->event_name);
	/* a bucket that the range cuts has a part in it, too */
	TimeRange buckets = {BucketStart(question->range.low, question->breakdown->finest),
						 question->range.high};

	DeltaRows(question->users.snapshot, question->breakdown->id, question->event_name, buckets,
			  extend_by_delta, &extent);
	for (int i = 0; i < question->unknown->n; i++)
		ScanEvents(question->breakdown, question->query->event_name, question->query->channel,
				   question->unknown->ranges[i], extend_by_raw, &extent);
	return extent;
}

void
MetricsRunMakeGroups(MetricsRun *question, pg_tz *zone)
{
	TimeRange range = question->range;

	if (question->kind == GROUP_HOUR || question->kind == GROUP_DAY)
	{
		if (!question->query->has_from || !question->query->has_to)
		{
			TimeRange extent = extent_of_data(question);

			if (!question->query->has_from)
				range.low = extent.low;
			if (!question->query->has_to)
				range.high = extent.high;
		}
		question->times = CalendarGroups(range.low, range.high, question->kind == GROUP_DAY, zone);
		if (question->times == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("group_by=%s has too many groups from \"%s\" to \"%s\": at most "
								   "%d are allowed",
								   question->query->group_by, question->query->names->from,
								   question->query->names->to, MAX_TIME_GROUPS)));
	}
	else
		question->times = CalendarWhole(range.low, range.high);
	question->tallies = palloc_extended(Max(question->times->n, 1) * sizeof(GroupCount),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	question->has_deltas = palloc0(Max(question->times->npieces, 1) * sizeof(bool));
	if (question->kind == GROUP_KEY)
		question->keys = TextMapCreate(CurrentMemoryContext, 64);
}

/*
 * The rows of hours and days, without the empty ones where not wanted, and
 * without those before the first and behind the last event where no bound was
 * given
 */
static void
answer_times(MetricsRun *question, MetricsAnswer *answer)
{
	int first = 0;
	int last = question->times->n;

	while (!question->query->has_from && first < last && question->tallies[first].events == 0)
		first++;
	while (!question->query->has_to && first < last && question->tallies[last - 1].events == 0)
		last--;
	answer->rows = palloc_extended(Max(last - first, 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	for (int i = first; i < last; i++)
	{
		GroupCount *tally = &question->tallies[i];

		if (tally->events > 0 || question->query->fill)
			answer->rows[answer->nrows++] =
				(MetricsRow){.group = question->times->groups[i].label,
							 .order = question->times->groups[i].order,
							 .total_events = tally->events,
							 .unique_users = GroupCountUniqueUsers(tally)};
	}
}

static int
compare_rows(const void *a, const void *b)
{
	const MetricsRow *left = a;
	const MetricsRow *right = b;

	if (left->total_events != right->total_events)
		return left->total_events > right->total_events ? -1 : 1;
	if (left->group == NULL || right->group == NULL)
		return (left->group != NULL) - (right->group != NULL);
	return strcmp(left->group, right->group);
}

static void
answer_keys(MetricsRun *question, MetricsAnswer *answer)
{
	text_map_iterator iterator;
	TextMapEntry *entry;

	answer->rows =
		palloc_extended((question->keys->members + 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	answer->by_key = true;
	answer->capped = question->others.events > 0;
	if (answer->capped)
		answer->rows[answer->nrows++] =
			(MetricsRow){.total_events = question->others.events,
						 .unique_users = GroupCountUniqueUsers(&question->others)};
	text_map_start_iterate(question->keys, &iterator);
	while ((entry = text_map_iterate(question->keys, &iterator)) != NULL)
	{
		GroupCount *tally = entry->pointer;

		if (tally->events > 0)
			answer->rows[answer->nrows++] =
				(MetricsRow){.group = entry->text.data,
							 .total_events = tally->events,
							 .unique_users = GroupCountUniqueUsers(tally)};
	}
	qsort(answer->rows, answer->nrows, sizeof(MetricsRow), compare_rows);
}

MetricsAnswer *
MetricsRunAnswer(MetricsRun *question)
{
	MetricsAnswer *answer = palloc0(sizeof(MetricsAnswer));

	answer->sources = question->sources;
	if (question->kind == GROUP_KEY)
		answer_keys(question, answer);
	else if (question->kind == GROUP_NONE)
	{
		answer->nrows = 1;
		answer->rows = palloc(sizeof(MetricsRow));
		answer->rows[0] =
			(MetricsRow){.total_events = question->tallies[0].events,
						 .unique_users = GroupCountUniqueUsers(&question->tallies[0])};
	}
	else
		answer_times(question, answer);
	return answer;
}
