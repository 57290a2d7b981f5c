/*
 * live.c
 *
 * Two runs: one counts by minute, and by name if names are wanted; all sums are made of it. The
 * other counts pages.
 */
#include "postgres.h"

#include "rollup/questions/live.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "rollup/metrics/metrics_private.h"

/* Minutes of the shorter sum. */
#define LIVE_SHORT 5

/*
 * Unite the minutes of a series to one row, and add them to those of all series
 */
static MetricsRow
unite_minutes(GroupCount *minutes, const char *name, GroupCount *all)
{
	GroupCount sum = {0};

	for (int i = 0; i < LIVE_MINUTES; i++)
	{
		GroupCountUnite(&sum, &minutes[i]);
		GroupCountUnite(&all[i], &minutes[i]);
	}
	return (MetricsRow){
		.group = name, .total_events = sum.events, .unique_users = GroupCountUniqueUsers(&sum)};
}

/*
 * Answer the largest names, and unite the minutes of all
 */
static void
answer_names(LiveAnswer *answer, const MetricsRun *run, int top, GroupCount *all)
{
	text_map_iterator iterator;
	TextMapEntry *entry;
	MetricsRow others = unite_minutes(run->total, NULL, all);

	answer->names =
		palloc_extended((run->series->members + 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	if (others.total_events > 0)
		answer->names[answer->nnames++] = others;
	text_map_start_iterate(run->series, &iterator);
	while ((entry = text_map_iterate(run->series, &iterator)) != NULL)
	{
		MetricsRow row = unite_minutes(entry->pointer, entry->text.data, all);

		if (row.total_events > 0)
			answer->names[answer->nnames++] = row;
	}
	MetricsSortRows(answer->names, answer->nnames);
	answer->nnames = Min(answer->nnames, top);
}

static void
answer_minutes(LiveAnswer *answer, const MetricsRun *run, GroupCount *all)
{
	GroupCount last_5 = {0};
	GroupCount last_30 = {0};

	for (int i = 0; i < LIVE_MINUTES; i++)
	{
		GroupCountUnite(&last_30, &all[i]);
		if (i >= LIVE_MINUTES - LIVE_SHORT)
			GroupCountUnite(&last_5, &all[i]);
		answer->minutes[i] = (SeriesPoint){run->times->groups[i].begin, all[i].events,
										   GroupCountUniqueUsers(&all[i])};
	}
	answer->events_5 = last_5.events;
	answer->users_5 = GroupCountUniqueUsers(&last_5);
	answer->events_30 = last_30.events;
	answer->users_30 = GroupCountUniqueUsers(&last_30);
}

static void
answer_pages(LiveAnswer *answer, MetricsRun *run)
{
	MetricsAnswer *pages = MetricsRunAnswer(run);

	answer->pages = pages->rows;
	answer->npages = pages->nrows;
}

/*
 * Count the last minutes, and answer all that is made of them
 */
static void
count_minutes(LiveAnswer *answer, MetricsQuery *query, int top)
{
	GroupCount all[LIVE_MINUTES] = {0};
	MetricsRun run;

	query->to = BucketStart(answer->now, LEVEL_MINUTE) + USECS_PER_MINUTE;
	query->from = query->to - LIVE_MINUTES * USECS_PER_MINUTE;
	query->group_by = top > 0 ? "event" : NULL;
	MetricsRunBegin(&run, query);
	run.by_time = true;
	run.step = STEP_MINUTE;
	run.unites = true;
	MetricsRunCount(&run);
	if (top > 0)
		answer_names(answer, &run, top, all);
	answer_minutes(answer, &run, top > 0 ? all : run.total);
	answer->raw_rows += run.sources.raw_rows;
}

/*
 * Count the pages of the quarters of an hour that hold the minutes of a query
 */
static void
count_pages(LiveAnswer *answer, MetricsQuery *query, int top)
{
	MetricsRun run;

	answer->pages_since = query->from - query->from % QUARTER_WIDTH;
	query->from = answer->pages_since;
	query->to += QUARTER_WIDTH - 1;
	query->to -= query->to % QUARTER_WIDTH;
	query->group_by = "page";
	query->limit = top;
	MetricsRunBegin(&run, query);
	MetricsRunCount(&run);
	answer_pages(answer, &run);
	answer->raw_rows += run.sources.raw_rows;
}

LiveAnswer *
LiveCompute(const LiveQuery *live)
{
	static const MetricsNames names = {"since", "until", "time_zone"};
	MetricsQuery query = {.names = &names,
						  .has_from = true,
						  .has_to = true,
						  .nfilters = live->nfilters,
						  .filters = live->filters,
						  .fill = true};
	LiveAnswer *answer;
	MetricsSession session;

	MetricsSessionBegin(&session);
	answer = palloc0(sizeof(LiveAnswer));
	answer->now = GetCurrentStatementStartTimestamp();
	count_minutes(answer, &query, live->top);
	if (live->top > 0)
		count_pages(answer, &query, live->top);
	MetricsSessionEnd(&session);
	return answer;
}
