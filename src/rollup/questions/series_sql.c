/*
 * series_sql.c
 *
 * The SQL function fi_series().
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "rollup/questions/series.h"
#include "rollup/questions/sql_arguments.h"

PG_FUNCTION_INFO_V1(fi_series);

enum
{
	SERIES_EVENT_NAME,
	SERIES_SINCE,
	SERIES_UNTIL,
	SERIES_STEP,
	SERIES_GROUP_BY,
	SERIES_TOP,
	SERIES_FILTER,
	SERIES_TIME_ZONE,
	SERIES_FILL,
	SERIES_ALIGN,
	SERIES_WEEK_START
};

/* A row of the result. */
typedef struct
{
	const SeriesPoint *point;
	int series;
} SeriesRow;

static SeriesQuery
read_series_query(FunctionCallInfo fcinfo)
{
	SeriesQuery query = {.metrics = {.names = &SqlMetricsNames}};
	MetricsQuery *metrics = &query.metrics;

	metrics->event_name = SqlTextArgument(fcinfo, SERIES_EVENT_NAME);
	SqlRangeArguments(fcinfo, SERIES_SINCE, metrics);
	metrics->group_by = SqlTextArgument(fcinfo, SERIES_GROUP_BY);
	SqlFilterArgument(fcinfo, SERIES_FILTER, metrics);
	metrics->timezone = SqlTextArgument(fcinfo, SERIES_TIME_ZONE);
	metrics->fill = SqlBoolArgument(fcinfo, SERIES_FILL, true);
	metrics->align = SqlBoolArgument(fcinfo, SERIES_ALIGN, true);
	metrics->sunday = SqlWeekStartArgument(fcinfo, SERIES_WEEK_START);
	query.step = PG_ARGISNULL(SERIES_STEP) ? "auto" : SqlTextArgument(fcinfo, SERIES_STEP);
	query.top = PG_ARGISNULL(SERIES_TOP) ? DEFAULT_SERIES_TOP : PG_GETARG_INT32(SERIES_TOP);
	return query;
}

/*
 * Order rows by time. Steps of a local time that never was may begin at the same instant as the
 * next one: points of a series stay in their order.
 */
static int
compare_rows(const void *a, const void *b)
{
	const SeriesRow *left = a;
	const SeriesRow *right = b;

	if (left->point->time != right->point->time)
		return left->point->time < right->point->time ? -1 : 1;
	if (left->series != right->series)
		return left->series - right->series;
	return left->point < right->point ? -1 : left->point > right->point;
}

static SeriesRow *
order_rows(const SeriesAnswer *answer, int *nrows)
{
	SeriesRow *rows;

	*nrows = 0;
	for (int i = 0; i < answer->nseries; i++)
		*nrows += answer->series[i].npoints;
	rows = palloc_extended(Max(*nrows, 1) * sizeof(SeriesRow), MCXT_ALLOC_HUGE);
	*nrows = 0;
	for (int i = 0; i < answer->nseries; i++)
		for (int j = 0; j < answer->series[i].npoints; j++)
			rows[(*nrows)++] = (SeriesRow){&answer->series[i].points[j], i};
	qsort(rows, *nrows, sizeof(SeriesRow), compare_rows);
	return rows;
}

Datum
fi_series(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SeriesQuery query = read_series_query(fcinfo);
	SeriesAnswer *answer;
	SeriesRow *rows;
	int nrows;

	InitMaterializedSRF(fcinfo, 0);
	answer = SeriesCompute(&query);
	rows = order_rows(answer, &nrows);
	for (int i = 0; i < nrows; i++)
	{
		const Series *series = &answer->series[rows[i].series];
		const SeriesPoint *point = rows[i].point;
		Datum values[5] = {TimestampTzGetDatum(point->time)};
		bool isnull[5] = {false, series->group == NULL, false, false, false};

		if (series->group != NULL)
			values[1] = CStringGetTextDatum(series->group);
		values[2] = BoolGetDatum(series->is_other);
		values[3] = Int64GetDatum(point->total_events);
		values[4] = Int64GetDatum(point->unique_users);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
