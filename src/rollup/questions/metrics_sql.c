/*
 * metrics_sql.c
 *
 * The SQL functions that answer queries: fi_metrics(), fi_metrics_sources(),
 * fi_stats() and fi_top_paths().
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "rollup/metrics/metrics.h"
#include "rollup/questions/filter_json.h"
#include "rollup/questions/site_stats.h"
#include "rollup/questions/sql_arguments.h"

PG_FUNCTION_INFO_V1(fi_metrics);
PG_FUNCTION_INFO_V1(fi_metrics_sources);
PG_FUNCTION_INFO_V1(fi_stats);
PG_FUNCTION_INFO_V1(fi_top_paths);

/* Arguments of fi_metrics() and fi_metrics_sources(). */
enum
{
	METRICS_EVENT_NAME,
	METRICS_SINCE,
	METRICS_UNTIL,
	METRICS_GROUP_BY,
	METRICS_CHANNEL,
	METRICS_TIME_ZONE,
	METRICS_FILL,
	METRICS_FILTER,
	METRICS_ALIGN,
	METRICS_WEEK_START,
	METRICS_MAX_GROUPS
};

/* Arguments of fi_stats() and fi_top_paths(). */
enum
{
	STATS_SITE_ID,
	STATS_DAY,
	STATS_MAX_ROWS
};

/*
 * Read how many groups are asked for; 0 for NULL, which is all
 */
static int
read_max_groups(FunctionCallInfo fcinfo, const char *group_by)
{
	int max_groups;

	if (PG_ARGISNULL(METRICS_MAX_GROUPS))
		return 0;
	max_groups = PG_GETARG_INT32(METRICS_MAX_GROUPS);
	if (max_groups < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_groups %d is not valid: expected at least 1", max_groups)));
	if (group_by == NULL || MetricsByPeriod(group_by))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_groups %d is not valid: expected none unless group_by is event "
							   "or the name of a breakdown",
							   max_groups)));
	return max_groups;
}

/*
 * Read the arguments of a query
 */
static MetricsQuery
read_metrics_query(FunctionCallInfo fcinfo)
{
	MetricsQuery query = {.names = &SqlMetricsNames};

	query.event_name = SqlTextArgument(fcinfo, METRICS_EVENT_NAME);
	SqlRangeArguments(fcinfo, METRICS_SINCE, &query);
	query.group_by = SqlTextArgument(fcinfo, METRICS_GROUP_BY);
	if (!PG_ARGISNULL(METRICS_CHANNEL))
		FilterAdd(&query, "channel", SqlTextArgument(fcinfo, METRICS_CHANNEL));
	SqlFilterArgument(fcinfo, METRICS_FILTER, &query);
	query.timezone = SqlTextArgument(fcinfo, METRICS_TIME_ZONE);
	query.fill = SqlBoolArgument(fcinfo, METRICS_FILL, true);
	query.align = SqlBoolArgument(fcinfo, METRICS_ALIGN, false);
	query.sunday = SqlWeekStartArgument(fcinfo, METRICS_WEEK_START);
	query.limit = read_max_groups(fcinfo, query.group_by);
	return query;
}

Datum
fi_metrics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MetricsQuery query = read_metrics_query(fcinfo);
	MetricsAnswer *answer;

	InitMaterializedSRF(fcinfo, 0);
	answer = MetricsCompute(&query);
	for (int i = 0; i < answer->nrows; i++)
	{
		const MetricsRow *row = &answer->rows[i];
		Datum values[3] = {0};
		bool isnull[3] = {row->group == NULL, false, false};

		if (row->group != NULL)
			values[0] = CStringGetTextDatum(row->group);
		values[1] = Int64GetDatum(row->total_events);
		values[2] = Int64GetDatum(row->unique_users);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}

Datum
fi_metrics_sources(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MetricsQuery query = read_metrics_query(fcinfo);
	MetricsSources read;

	InitMaterializedSRF(fcinfo, 0);
	read = MetricsCompute(&query)->sources;
	{
		const struct
		{
			const char *source;
			int64 rows;
		} sources[] = {{"day", read.days},
					   {"hour", read.hours},
					   {"minute", read.minutes},
					   {"delta", read.deltas},
					   {"raw", read.raw_rows}};

		for (int i = 0; i < (int) lengthof(sources); i++)
		{
			Datum values[2] = {CStringGetTextDatum(sources[i].source),
							   Int64GetDatum(sources[i].rows)};
			bool isnull[2] = {false, false};

			tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
		}
	}
	return (Datum) 0;
}

/*
 * Answer what fi_stats() and fi_top_paths() ask; ERROR 22023 if site_id is NULL
 */
static StatsAnswer *
compute_stats(FunctionCallInfo fcinfo, bool totals, int max_paths)
{
	const char *site_id = SqlTextArgument(fcinfo, STATS_SITE_ID);
	DateADT day = PG_ARGISNULL(STATS_DAY) ? UtcDay(GetCurrentStatementStartTimestamp())
										  : PG_GETARG_DATEADT(STATS_DAY);

	if (site_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site_id is NULL: expected the site_id of events")));
	return StatsCompute(site_id, day, totals, max_paths);
}

Datum
fi_stats(PG_FUNCTION_ARGS)
{
	StatsAnswer *answer;
	TupleDesc desc;
	Datum values[2];
	bool isnull[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	answer = compute_stats(fcinfo, true, 0);
	values[0] = Int64GetDatum(answer->total_views);
	values[1] = Int64GetDatum(answer->unique_users);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, isnull)));
}

Datum
fi_top_paths(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int max_rows = PG_ARGISNULL(STATS_MAX_ROWS) ? DEFAULT_PATHS : PG_GETARG_INT32(STATS_MAX_ROWS);
	StatsAnswer *answer;

	if (max_rows < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_rows %d is not valid: expected at least 1", max_rows)));
	InitMaterializedSRF(fcinfo, 0);
	answer = compute_stats(fcinfo, false, max_rows);
	for (int i = 0; i < answer->npaths; i++)
	{
		Datum values[2] = {CStringGetTextDatum(answer->paths[i].path),
						   Int64GetDatum(answer->paths[i].views)};
		bool isnull[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
