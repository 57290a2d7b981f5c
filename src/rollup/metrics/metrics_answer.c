/*
 * metrics_answer.c
 *
 * The rows of an answer, once everything is counted.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/memutils.h"

/*
 * Answer hours or days in order. Empty ones are left out unless the query asks for them. Where
 * the range has no bound, those before the first or behind the last event are always left out.
 */
static void
answer_times(MetricsRun *run, MetricsAnswer *answer)
{
	int first = 0;
	int last = run->times->n;

	while (!run->query->has_from && first < last && run->time_counts[first].events == 0)
		first++;
	while (!run->query->has_to && first < last && run->time_counts[last - 1].events == 0)
		last--;
	answer->rows = palloc_extended(Max(last - first, 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	for (int i = first; i < last; i++)
	{
		GroupCount *count = &run->time_counts[i];

		if (count->events > 0 || run->query->fill)
			answer->rows[answer->nrows++] =
				(MetricsRow){.group = run->times->groups[i].label,
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

static void
answer_keys(MetricsRun *run, MetricsAnswer *answer)
{
	text_map_iterator iterator;
	TextMapEntry *entry;

	answer->rows = palloc_extended((run->keys->members + 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	answer->by_key = true;
	answer->capped = run->others.events > 0;
	if (answer->capped)
		answer->rows[answer->nrows++] =
			(MetricsRow){.total_events = run->others.events,
						 .unique_users = GroupCountUniqueUsers(&run->others)};
	text_map_start_iterate(run->keys, &iterator);
	while ((entry = text_map_iterate(run->keys, &iterator)) != NULL)
	{
		GroupCount *count = entry->pointer;

		if (count->events > 0)
			answer->rows[answer->nrows++] =
				(MetricsRow){.group = entry->text.data,
							 .total_events = count->events,
							 .unique_users = GroupCountUniqueUsers(count)};
	}
	qsort(answer->rows, answer->nrows, sizeof(MetricsRow), compare_rows);
}

static void
answer_total(MetricsRun *run, MetricsAnswer *answer)
{
	answer->nrows = 1;
	answer->rows = palloc(sizeof(MetricsRow));
	answer->rows[0] = (MetricsRow){.total_events = run->time_counts[0].events,
								   .unique_users = GroupCountUniqueUsers(&run->time_counts[0])};
}

MetricsAnswer *
MetricsRunAnswer(MetricsRun *run)
{
	MetricsAnswer *answer = palloc0(sizeof(MetricsAnswer));

	answer->sources = run->sources;
	switch (run->kind)
	{
		case GROUP_NONE:
			answer_total(run, answer);
			break;
		case GROUP_HOUR:
		case GROUP_DAY:
			answer_times(run, answer);
			break;
		case GROUP_KEY:
			answer_keys(run, answer);
			break;
	}
	return answer;
}
