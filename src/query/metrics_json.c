/*
 * metrics_json.c
 *
 * The bodies of GET /metrics and GET /stats, for query workers and as SQL
 * functions.
 */
#include "postgres.h"

#include "query/metrics_json.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "query/page.h"
#include "query/request_parameters.h"
#include "query/write_json.h"
#include "rollup/metrics/argument.h"

PG_FUNCTION_INFO_V1(fi_metrics_json);
PG_FUNCTION_INFO_V1(fi_stats_json);

static void
require_parameter(const char *name, const char *value)
{
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is missing: expected a text that is not empty", name)));
}

static void
answer_metrics(StringInfo text, const MetricsParameters *parameters, StringInfo next_cursor)
{
	const MetricsQuery *query = &parameters->query;
	MetricsQuery ungrouped = *query;
	MetricsAnswer *answer;
	MetricsAnswer *total;
	AnswerPage page;

	require_parameter("event_name", query->event_name);
	if (parameters->cursor != NULL && query->group_by == NULL)
		ParameterRefuse("cursor", parameters->cursor, "none without group_by");

	answer = MetricsCompute(query);
	page = AnswerPageFind(parameters, answer);
	if (page.end < answer->nrows)
		AnswerPageAppendCursor(next_cursor, answer, page);
	if (parameters->csv)
	{
		WriteMetricsCsv(text, answer, page);
		return;
	}
	/* unique users cannot be summed across groups */
	ungrouped.group_by = NULL;
	total = query->group_by == NULL ? answer : MetricsCompute(&ungrouped);
	WriteMetricsJson(text, parameters, &total->rows[0], answer, page, next_cursor->data);
}

static void
answer_stats(StringInfo text, const StatsParameters *parameters)
{
	require_parameter("site_id", parameters->site_id);
	WriteStatsJson(text, parameters,
				   StatsCompute(parameters->site_id, parameters->date, true, parameters->limit));
}

void
AnswerMetrics(StringInfo text, const char *parameters, size_t len, bool *csv,
			  StringInfo next_cursor)
{
	MetricsParameters read;

	MetricsParametersRead(&read, parameters, len);
	answer_metrics(text, &read, next_cursor);
	*csv = read.csv;
}

void
AnswerStats(StringInfo text, const char *parameters, size_t len)
{
	StatsParameters read;

	StatsParametersRead(&read, parameters, len);
	answer_stats(text, &read);
}

/*
 * An end of the range, of the type that the function was declared with
 */
static bool
time_argument(FunctionCallInfo fcinfo, int i, const char *name, TimestampTz *time)
{
	if (PG_ARGISNULL(i))
		return false;
	switch (get_fn_expr_argtype(fcinfo->flinfo, i))
	{
		case TIMESTAMPTZOID:
			*time = PG_GETARG_TIMESTAMPTZ(i);
			break;
		case INT8OID:
			*time = RequestTime(name, psprintf(INT64_FORMAT, PG_GETARG_INT64(i)));
			break;
		default:
			*time = RequestTime(name, text_to_cstring(PG_GETARG_TEXT_PP(i)));
			break;
	}
	if (TIMESTAMP_NOT_FINITE(*time))
		ParameterRefuse(name, TIMESTAMP_IS_NOBEGIN(*time) ? "-infinity" : "infinity",
						"a finite time");
	return true;
}

Datum
fi_metrics_json(PG_FUNCTION_ARGS)
{
	static const MetricsNames names = {"from", "to", "timezone"};
	MetricsParameters request = {.query = {.names = &names}};
	StringInfoData text;
	StringInfoData next_cursor;

	request.query.event_name = TextArgument(fcinfo, 0);
	request.query.has_from = time_argument(fcinfo, 1, "from", &request.query.from);
	request.query.has_to = time_argument(fcinfo, 2, "to", &request.query.to);
	request.query.group_by = TextArgument(fcinfo, 3);
	request.query.channel = TextArgument(fcinfo, 4);
	request.query.timezone = TextArgument(fcinfo, 5);
	request.query.fill = PG_ARGISNULL(6) || PG_GETARG_BOOL(6);
	if (!PG_ARGISNULL(7))
		request.limit = RequestLimit(psprintf("%d", PG_GETARG_INT32(7)));
	request.cursor = TextArgument(fcinfo, 8);

	initStringInfo(&text);
	initStringInfo(&next_cursor);
	answer_metrics(&text, &request, &next_cursor);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}

Datum
fi_stats_json(PG_FUNCTION_ARGS)
{
	StatsParameters request = {0};
	StringInfoData text;

	request.site_id = TextArgument(fcinfo, 0);
	request.date =
		PG_ARGISNULL(1) ? UtcDay(GetCurrentTransactionStartTimestamp()) : PG_GETARG_DATEADT(1);
	if (DATE_NOT_FINITE(request.date))
		ParameterRefuse("date", DATE_IS_NOBEGIN(request.date) ? "-infinity" : "infinity",
						"a finite date");
	request.limit =
		PG_ARGISNULL(2) ? DEFAULT_PATHS : RequestLimit(psprintf("%d", PG_GETARG_INT32(2)));

	initStringInfo(&text);
	answer_stats(&text, &request);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}
