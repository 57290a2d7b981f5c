/*
 * metrics_answer.c
 *
 * The rows of an answer, once everything is counted.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/memutils.h"

/*
 * Has any series events in a group of times?
 */
static bool
has_events(const MetricsRun *run, int group)
{
	text_map_iterator iterator;
	TextMapEntry *entry;

	if (run->total[group].events > 0)
		return true;
	if (run->series == NULL)
		return false;
	text_map_start_iterate(run->series, &iterator);
	while ((entry = text_map_iterate(run->series, &iterator)) != NULL)
		if (((GroupCount *) entry->pointer)[group].events > 0)
			return true;
	return false;
}

void
MetricsRunTrim(const MetricsRun *run, int *first, int *last)
{
	*first = 0;
	*last = run->times->n;
	while (!run->query->has_from && *first < *last && !has_events(run, *first))
		(*first)++;
	while (!run->query->has_to && *first < *last && !has_events(run, *last - 1))
		(*last)--;
}

/*
 * Answer periods in order. Empty ones are left out unless the query asks for them
 */
static void
answer_times(MetricsRun *run, MetricsAnswer *answer)
{
	int first;
	int last;

	MetricsRunTrim(run, &first, &last);
	answer->rows = palloc_extended(Max(last - first, 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	for (int i = first; i < last; i++)
	{
		GroupCount *count = &run->total[i];

		if (count->events == 0 && !run->query->fill)
			continue;
		if (answer->nrows == MAX_TIME_GROUPS)
			MetricsRefuseGroups(run);
		answer->rows[answer->nrows++] = (MetricsRow){.group = CalendarLabel(run->times, i),
													 .order = run->times->groups[i].order,
													 .total_events = count->events,
													 .unique_users = GroupCountUniqueUsers(count)};
	}
}

int
MetricsCompareKeys(int64 left_total, const char *left_key, int64 right_total, const char *right_key)
{
	if (left_total != right_total)
		return left_total > right_total ? -1 : 1;
	if (left_key == NULL || right_key == NULL)
		return (left_key != NULL) - (right_key != NULL);
	return strcmp(left_key, right_key);
}

static int
compare_rows(const void *a, const void *b)
{
	const MetricsRow *left = a;
	const MetricsRow *right = b;

	return MetricsCompareKeys(left->total_events, left->group, right->total_events, right->group);
}

void
MetricsSortRows(MetricsRow *rows, int n)
{
	qsort(rows, n, sizeof(MetricsRow), compare_rows);
}

static void
answer_series(MetricsRun *run, MetricsAnswer *answer)
{
	text_map_iterator iterator;
	TextMapEntry *entry;

	answer->rows =
		palloc_extended((run->series->members + 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	answer->by_key = true;
	answer->capped = run->total->events > 0;
	if (answer->capped)
		answer->rows[answer->nrows++] = (MetricsRow){
			.total_events = run->total->events, .unique_users = GroupCountUniqueUsers(run->total)};
	text_map_start_iterate(run->series, &iterator);
	while ((entry = text_map_iterate(run->series, &iterator)) != NULL)
	{
		GroupCount *count = entry->pointer;

		if (count->events > 0)
			answer->rows[answer->nrows++] =
				(MetricsRow){.group = entry->text.data,
							 .total_events = count->events,
							 .unique_users = GroupCountUniqueUsers(count)};
	}
	MetricsSortRows(answer->rows, answer->nrows);
}

static void
answer_total(MetricsRun *run, MetricsAnswer *answer)
{
	answer->nrows = 1;
	answer->rows = palloc(sizeof(MetricsRow));
	answer->rows[0] = (MetricsRow){.total_events = run->total->events,
								   .unique_users = GroupCountUniqueUsers(run->total)};
}

MetricsAnswer *
MetricsRunAnswer(MetricsRun *run)
{
	MetricsAnswer *answer = palloc0(sizeof(MetricsAnswer));

	answer->sources = run->sources;
	answer->range = run->range;
	if (run->by_time)
		answer_times(run, answer);
	else if (run->by == BY_NONE)
		answer_total(run, answer);
	else
		answer_series(run, answer);
	return answer;
}
