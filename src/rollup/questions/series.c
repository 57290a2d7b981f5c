/*
 * series.c
 *
 * A series takes two runs over the same range: one that counts the whole range, which tells the
 * largest groups, and one that counts them by steps. The second unites the users of all other
 * groups as it reads them.
 */
#include "postgres.h"

#include "rollup/questions/series.h"

#include "utils/memutils.h"

#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/calendar/time_step.h"
#include "rollup/metrics/metrics_private.h"

/* A group and its counts in the whole range. */
typedef struct
{
	const char *group;
	GroupCount *count;
} RangeGroup;

/*
 * Read the step of a query; true for "auto"
 */
static bool
read_step(const SeriesQuery *query, CalendarStep *step)
{
	if (strcmp(query->step, "auto") == 0)
		return true;
	if (!TimeStepRead(query->step, step))
		MetricsRefuse("step", query->step,
					  "1m, 5m, 15m, 1h, 6h, 1d, 1w, 1mo, auto, or an interval like 30s");
	return false;
}

static void
check_query(const SeriesQuery *query)
{
	const char *group_by = query->metrics.group_by;

	if (query->top < 1 || query->top > MAX_SERIES_TOP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("top %d is not valid: expected 1 to %d", query->top, MAX_SERIES_TOP)));
	if (MetricsByPeriod(group_by))
		MetricsRefuse("group_by", group_by, "event or the name of a breakdown; step is the time");
}

static int
compare_groups(const void *a, const void *b)
{
	const RangeGroup *left = a;
	const RangeGroup *right = b;

	return MetricsCompareKeys(left->count->events, left->group, right->count->events, right->group);
}

/*
 * List the groups of the whole range, the largest first
 */
static RangeGroup *
order_groups(const MetricsRun *totals, int *n)
{
	RangeGroup *groups =
		palloc_extended((totals->series->members + 1) * sizeof(RangeGroup), MCXT_ALLOC_HUGE);
	text_map_iterator iterator;
	TextMapEntry *entry;

	*n = 0;
	text_map_start_iterate(totals->series, &iterator);
	while ((entry = text_map_iterate(totals->series, &iterator)) != NULL)
		if (((GroupCount *) entry->pointer)->events > 0)
			groups[(*n)++] = (RangeGroup){entry->text.data, entry->pointer};
	qsort(groups, *n, sizeof(RangeGroup), compare_groups);
	return groups;
}

static void
add_series(SeriesAnswer *answer, const char *group, bool is_other, GroupCount *count)
{
	answer->series[answer->nseries++] = (Series){.group = group,
												 .is_other = is_other,
												 .total_events = count->events,
												 .unique_users = GroupCountUniqueUsers(count)};
}

/*
 * Choose the series, and count the whole range of each and of all
 */
static void
choose_series(SeriesAnswer *answer, MetricsRun *totals, int top)
{
	GroupCount all = {0};
	GroupCount others = {0};
	RangeGroup *groups;
	int ngroups;

	answer->series = palloc0((top + 1) * sizeof(Series));
	if (totals->by == BY_NONE)
	{
		add_series(answer, NULL, false, totals->total);
		answer->total_events = answer->series[0].total_events;
		answer->unique_users = answer->series[0].unique_users;
		return;
	}
	groups = order_groups(totals, &ngroups);
	for (int i = 0; i < Min(ngroups, top); i++)
	{
		add_series(answer, groups[i].group, false, groups[i].count);
		GroupCountUnite(&all, groups[i].count);
	}
	for (int i = top; i < ngroups; i++)
		GroupCountUnite(&others, groups[i].count);
	GroupCountUnite(&others, totals->total);
	GroupCountUnite(&all, &others);
	if (others.events > 0)
		add_series(answer, NULL, true, &others);
	answer->total_events = all.events;
	answer->unique_users = GroupCountUniqueUsers(&all);
}

/*
 * The series to count by steps: those that have a name
 */
static TextMap *
list_kept(const SeriesAnswer *answer)
{
	TextMap *kept = TextMapCreate(CurrentMemoryContext, 64);
	bool found;

	for (int i = 0; i < answer->nseries; i++)
		if (answer->series[i].group != NULL)
			(void) TextMapAdd(
				kept, (Slice){answer->series[i].group, (int) strlen(answer->series[i].group)},
				&found);
	return kept;
}

pg_noreturn static void
refuse_points(const MetricsRun *run, const SeriesAnswer *answer)
{
	const MetricsNames *names = run->query->names;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("step \"%s\" has too many points from \"%s\" to \"%s\" in %d series: at "
					"most %d are allowed",
					answer->step, names->from, names->to, answer->nseries, MAX_SERIES_POINTS),
			 errhint("Ask for a longer step, a shorter range or fewer groups.")));
}

/*
 * The counts of a series by steps; NULL if nothing was counted
 */
static GroupCount *
find_counts(const MetricsRun *points, const Series *series)
{
	TextMapEntry *entry;

	if (series->group == NULL)
		return points->total;
	entry = text_map_lookup(points->series, (Slice){series->group, (int) strlen(series->group)});
	return entry ? entry->pointer : NULL;
}

/*
 * Has any series events in a step?
 */
static bool
has_events(GroupCount **counts, int nseries, int step)
{
	for (int i = 0; i < nseries; i++)
		if (counts[i] != NULL && counts[i][step].events > 0)
			return true;
	return false;
}

static void
add_points(Series *series, const MetricsRun *points, GroupCount *counts, int first, int last)
{
	static const SeriesPoint empty = {0};

	series->points = palloc_extended(Max(last - first, 1) * sizeof(SeriesPoint), MCXT_ALLOC_HUGE);
	for (int step = first; step < last; step++)
	{
		SeriesPoint point = empty;

		point.time = points->times->groups[step].begin;
		if (counts != NULL)
		{
			point.total_events = counts[step].events;
			point.unique_users = GroupCountUniqueUsers(&counts[step]);
		}
		if (point.total_events > 0 || points->query->fill)
			series->points[series->npoints++] = point;
	}
}

/*
 * Answer the points of all series. Where the query has no bound, steps before the first and behind
 * the last event are left out
 */
static void
answer_points(SeriesAnswer *answer, const MetricsRun *points)
{
	GroupCount **counts = palloc(Max(answer->nseries, 1) * sizeof(GroupCount *));
	int first = 0;
	int last = points->times->n;
	int64 n = 0;

	for (int i = 0; i < answer->nseries; i++)
		counts[i] = find_counts(points, &answer->series[i]);
	while (!points->query->has_from && first < last && !has_events(counts, answer->nseries, first))
		first++;
	while (!points->query->has_to && first < last && !has_events(counts, answer->nseries, last - 1))
		last--;
	for (int i = 0; i < answer->nseries; i++)
	{
		add_points(&answer->series[i], points, counts[i], first, last);
		n += answer->series[i].npoints;
		if (n > MAX_SERIES_POINTS)
			refuse_points(points, answer);
	}
}

static void
add_sources(MetricsSources *sum, const MetricsSources *more)
{
	sum->days += more->days;
	sum->hours += more->hours;
	sum->minutes += more->minutes;
	sum->deltas += more->deltas;
	sum->raw_rows += more->raw_rows;
}

/*
 * Choose the step for "auto": of the range, bounded by events where the query has no bound
 */
static CalendarStep
choose_step(const MetricsRun *points)
{
	const MetricsQuery *query = points->query;
	TimeRange range = points->range;

	if (!query->has_from || !query->has_to)
	{
		TimeRange bounds = MetricsRunBounds(points);

		range.low = query->has_from ? range.low : bounds.low;
		range.high = query->has_to ? range.high : bounds.high;
	}
	return TimeStepChoose(range.low, Max(range.low, range.high),
						  points->all_raw ? USECS_PER_MINUTE
										  : BreakdownWidth(points->breakdown, range.low));
}

/*
 * Count the chosen series by steps
 */
static void
count_points(SeriesAnswer *answer, MetricsRun *points, const SeriesQuery *query)
{
	CalendarStep step = STEP_MINUTE;
	bool is_auto = read_step(query, &step);

	MetricsRunBegin(points, &query->metrics);
	if (is_auto)
		step = choose_step(points);
	points->by_time = true;
	points->step = step == STEP_WEEK && query->metrics.sunday ? STEP_SUNDAY_WEEK : step;
	points->step_name = answer->step = TimeStepName(step);
	points->kept = list_kept(answer);
	MetricsRunMakeGroups(points);
	if ((int64) points->times->n * answer->nseries >
		(query->metrics.fill ? MAX_SERIES_POINTS : MAX_COUNTED_GROUPS))
		refuse_points(points, answer);
	MetricsRunRead(points);
}

SeriesAnswer *
SeriesCompute(const SeriesQuery *query)
{
	SeriesAnswer *answer;
	CalendarStep step;
	MetricsSession session;
	MetricsRun totals;
	MetricsRun points;

	check_query(query);
	(void) read_step(query, &step);
	MetricsSessionBegin(&session);
	answer = palloc0(sizeof(SeriesAnswer));
	MetricsRunBegin(&totals, &query->metrics);
	totals.unites = totals.by != BY_NONE;
	MetricsRunCount(&totals);
	choose_series(answer, &totals, query->top);
	count_points(answer, &points, query);
	answer_points(answer, &points);
	answer->range = points.range;
	answer->sources = totals.sources;
	add_sources(&answer->sources, &points.sources);
	MetricsSessionEnd(&session);
	return answer;
}
