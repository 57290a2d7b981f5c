/*
 * metrics_sql.c
 *
 * fi_metrics(), fi_metrics_plan() and fi_stats(). Their arguments are those of
 * MetricsQuery in its order.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "query/request_parameters.h"
#include "rollup/metrics/argument.h"
#include "rollup/metrics/metrics.h"

PG_FUNCTION_INFO_V1(fi_metrics);
PG_FUNCTION_INFO_V1(fi_metrics_unix);
PG_FUNCTION_INFO_V1(fi_metrics_text);
PG_FUNCTION_INFO_V1(fi_metrics_plan);
PG_FUNCTION_INFO_V1(fi_stats);

typedef TimestampTz (*TimeReader)(Datum value, const char *name);

static TimestampTz
read_timestamptz(Datum value, const char *name)
{
	return DatumGetTimestampTz(value);
}

static TimestampTz
read_unix(Datum value, const char *name)
{
	char text[32];

	snprintf(text, sizeof(text), INT64_FORMAT, DatumGetInt64(value));
	return RequestTime(name, text);
}

/*
 * Text: what clients write, or anything that timestamptz reads
 */
static TimestampTz
read_text(Datum value, const char *name)
{
	char *written = TextDatumGetCString(value);
	TimestampTz time;
	const char *wrong;

	if (MetricsParseTime(written, &time, &wrong))
		return time;
	return DatumGetTimestampTz(DirectFunctionCall3(
		timestamptz_in, CStringGetDatum(written), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static MetricsQuery
query_of(FunctionCallInfo fcinfo, TimeReader read)
{
	static const MetricsNames names = {"from", "to", "timezone"};
	MetricsQuery query = {.names = &names};

	query.event_name = TextArgument(fcinfo, 0);
	if (query.event_name == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("event_name is NULL: expected the name of an event")));
	query.has_from = !PG_ARGISNULL(1);
	query.has_to = !PG_ARGISNULL(2);
	if (query.has_from)
		query.from = read(PG_GETARG_DATUM(1), "from");
	if (query.has_to)
		query.to = read(PG_GETARG_DATUM(2), "to");
	query.group_by = TextArgument(fcinfo, 3);
	query.channel = TextArgument(fcinfo, 4);
	query.timezone = TextArgument(fcinfo, 5);
	query.fill = PG_ARGISNULL(6) || PG_GETARG_BOOL(6);
	return query;
}

static Datum
metrics(FunctionCallInfo fcinfo, TimeReader read)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MetricsQuery query = query_of(fcinfo, read);
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
fi_metrics(PG_FUNCTION_ARGS)
{
	return metrics(fcinfo, read_timestamptz);
}

Datum
fi_metrics_unix(PG_FUNCTION_ARGS)
{
	return metrics(fcinfo, read_unix);
}

Datum
fi_metrics_text(PG_FUNCTION_ARGS)
{
	return metrics(fcinfo, read_text);
}

Datum
fi_metrics_plan(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MetricsQuery query = query_of(fcinfo, read_timestamptz);
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
 * fi_stats(site_id text, date date, max_paths integer): the first row is the
 * whole site, path NULL
 */
Datum
fi_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *site_id = TextArgument(fcinfo, 0);
	DateADT date =
		PG_ARGISNULL(1) ? UtcDay(GetCurrentStatementStartTimestamp()) : PG_GETARG_DATEADT(1);
	int max_paths = PG_ARGISNULL(2) ? DEFAULT_PATHS : PG_GETARG_INT32(2);
	StatsAnswer *answer;
	Datum values[3];
	bool isnull[3] = {true, false, false};

	if (site_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site_id is NULL: expected the site_id of events")));
	if (max_paths < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_paths %d is not valid: expected at least 1", max_paths)));
	InitMaterializedSRF(fcinfo, 0);
	answer = StatsCompute(site_id, date, true, max_paths);
	values[0] = (Datum) 0;
	values[1] = Int64GetDatum(answer->total_views);
	values[2] = Int64GetDatum(answer->unique_users);
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	isnull[0] = false;
	isnull[2] = true;
	for (int i = 0; i < answer->npaths; i++)
	{
		values[0] = CStringGetTextDatum(answer->paths[i].path);
		values[1] = Int64GetDatum(answer->paths[i].views);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
