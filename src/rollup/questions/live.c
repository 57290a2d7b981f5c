/*
 * live.c
 *
 * Two runs: one counts names by minute, of which all sums are made; the other counts pages.
 */
#include "postgres.h"

#include "rollup/questions/live.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "rollup/metrics/metrics_private.h"

/* Minutes of the shorter sum. */
#define LIVE_SHORT 5

static void
check_arguments(const char *site, int top)
{
	if (site != NULL && site[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site is empty: expected the site_id of events")));
	if (top < 1 || top > MAX_LIVE_TOP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("top %d is not valid: expected 1 to %d", top, MAX_LIVE_TOP)));
}

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

LiveAnswer *
LiveCompute(const char *site, int top)
{
	static const MetricsNames names = {"since", "until", "time_zone"};
	MetricsFilter filter = {"site", 1, &site};
	MetricsQuery query = {
		.names = &names, .has_from = true, .has_to = true, .filters = &filter, .fill = true};
	GroupCount all[LIVE_MINUTES] = {0};
	LiveAnswer *answer;
	MetricsSession session;
	MetricsRun run;

	check_arguments(site, top);
	MetricsSessionBegin(&session);
	answer = palloc0(sizeof(LiveAnswer));
	answer->now = GetCurrentStatementStartTimestamp();
	query.nfilters = site != NULL;
	query.to = BucketStart(answer->now, LEVEL_MINUTE) + USECS_PER_MINUTE;
	query.from = query.to - LIVE_MINUTES * USECS_PER_MINUTE;
	query.group_by = "event";
	MetricsRunBegin(&run, &query);
	run.by_time = true;
	run.step = STEP_MINUTE;
	run.unites = true;
	MetricsRunCount(&run);
	answer_names(answer, &run, top, all);
	answer_minutes(answer, &run, all);

	answer->pages_since = query.from - query.from % QUARTER_WIDTH;
	query.from = answer->pages_since;
	query.to += QUARTER_WIDTH - 1;
	query.to -= query.to % QUARTER_WIDTH;
	query.group_by = "page";
	query.limit = top;
	MetricsRunBegin(&run, &query);
	MetricsRunCount(&run);
	answer_pages(answer, &run);
	MetricsSessionEnd(&session);
	return answer;
}
