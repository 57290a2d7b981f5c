/*
 * site_stats.c
 *
 * What one website saw on a UTC day, of all event_names: the views and unique users of the
 * site, and the views of its pages. These are two metrics queries in one snapshot.
 */
#include "postgres.h"

#include "rollup/questions/site_stats.h"

#include "utils/timestamp.h"

#include "rollup/metrics/metrics_private.h"

/*
 * Answer a query. If keys are counted together, raw rows tell them apart
 */
static MetricsAnswer *
answer_query(const MetricsQuery *query)
{
	MetricsRun run;
	MetricsAnswer *answer;

	MetricsRunBegin(&run, query);
	MetricsRunCount(&run);
	answer = MetricsRunAnswer(&run);
	if (!answer->capped)
		return answer;
	MetricsRunBegin(&run, query);
	run.all_raw = true;
	MetricsRunCount(&run);
	return MetricsRunAnswer(&run);
}

static void
add_totals(StatsAnswer *stats, MetricsQuery query)
{
	MetricsAnswer *answer = answer_query(&query);

	stats->total_views = answer->rows[0].total_events;
	stats->unique_users = answer->rows[0].unique_users;
}

static void
add_paths(StatsAnswer *stats, MetricsQuery query, int max_paths)
{
	MetricsAnswer *answer;

	query.group_by = "page";
	query.limit = max_paths;
	answer = answer_query(&query);
	stats->npaths = answer->nrows;
	stats->paths = palloc_extended((stats->npaths + 1) * sizeof(StatsPath), MCXT_ALLOC_HUGE);
	for (int i = 0; i < stats->npaths; i++)
		stats->paths[i] = (StatsPath){answer->rows[i].group, answer->rows[i].total_events};
}

StatsAnswer *
StatsCompute(const char *site_id, DateADT day, bool totals, int max_paths)
{
	static const MetricsNames names = {"day", "day", "time_zone"};
	MetricsFilter site = {"site", 1, &site_id};
	MetricsQuery query = {.names = &names,
						  .has_from = true,
						  .has_to = true,
						  .from = (TimestampTz) day * USECS_PER_DAY,
						  .to = ((TimestampTz) day + 1) * USECS_PER_DAY,
						  .nfilters = 1,
						  .filters = &site};
	MetricsSession session;
	StatsAnswer *answer;

	if (site_id[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site_id is empty: expected the site_id of events")));
	if (DATE_NOT_FINITE(day) || day >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("day is out of range")));

	MetricsSessionBegin(&session);
	answer = palloc0(sizeof(StatsAnswer));
	if (totals)
		add_totals(answer, query);
	if (max_paths > 0)
		add_paths(answer, query, max_paths);
	MetricsSessionEnd(&session);
	return answer;
}
