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

/* A name or key, and its counts. */
typedef struct
{
	const char *group; /* NULL: those that are counted together */
	GroupCount *count;
} CountedGroup;

/* The largest groups so far: at most twice as many as are wanted, of which the first are sorted. */
typedef struct
{
	int limit;
	int n;
	bool is_full; /* the limit is reached: the last of the sorted ones is the least to take */
	CountedGroup *groups;
	int ngroups; /* that have events */
} LargestGroups;

static int
compare_groups(const void *a, const void *b)
{
	const CountedGroup *left = a;
	const CountedGroup *right = b;

	return MetricsCompareKeys(left->count->events, left->group, right->count->events, right->group);
}

static void
sort_largest(LargestGroups *largest)
{
	qsort(largest->groups, largest->n, sizeof(CountedGroup), compare_groups);
	largest->is_full = largest->n >= largest->limit;
	largest->n = Min(largest->n, largest->limit);
}

static void
add_largest(LargestGroups *largest, const char *group, GroupCount *count)
{
	CountedGroup candidate = {group, count};

	if (count->events == 0)
		return;
	largest->ngroups++;
	if (largest->is_full && compare_groups(&candidate, &largest->groups[largest->limit - 1]) > 0)
		return;
	if (largest->n - largest->limit == largest->limit)
		sort_largest(largest);
	largest->groups[largest->n++] = candidate;
}

/*
 * Find the groups to answer, the largest first
 */
static LargestGroups
find_largest(const MetricsRun *run)
{
	int64 most = (int64) run->series->members + 1;
	LargestGroups largest = {.limit = run->limit > 0 ? (int) Min(run->limit, most) : (int) most};
	text_map_iterator iterator;
	TextMapEntry *entry;

	largest.groups = palloc_extended(Min(most, 2 * (int64) largest.limit) * sizeof(CountedGroup),
									 MCXT_ALLOC_HUGE);
	add_largest(&largest, NULL, run->total);
	text_map_start_iterate(run->series, &iterator);
	while ((entry = text_map_iterate(run->series, &iterator)) != NULL)
		add_largest(&largest, entry->text.data, entry->pointer);
	sort_largest(&largest);
	return largest;
}

void
MetricsRunMarkLargest(const MetricsRun *run)
{
	LargestGroups largest = find_largest(run);

	for (int i = 0; i < largest.n; i++)
		largest.groups[i].count->is_answered = true;
}

static void
answer_series(MetricsRun *run, MetricsAnswer *answer)
{
	LargestGroups largest = find_largest(run);

	answer->rows = palloc_extended((largest.n + 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	answer->nrows = largest.n;
	answer->ngroups = largest.ngroups;
	answer->by_key = true;
	answer->capped = run->total->events > 0;
	for (int i = 0; i < largest.n; i++)
	{
		CountedGroup *group = &largest.groups[i];

		answer->rows[i] = (MetricsRow){.group = group->group,
									   .total_events = group->count->events,
									   .unique_users = GroupCountUniqueUsers(group->count)};
	}
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
	if (!answer->by_key)
		answer->ngroups = answer->nrows;
	return answer;
}
