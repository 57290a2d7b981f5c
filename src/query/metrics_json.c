/*
 * metrics_json.c
 *
 * The bodies of GET /metrics and GET /stats.
 */
#include "postgres.h"

#include "query/metrics_json.h"

#include "query/page.h"
#include "query/request_parameters.h"
#include "query/write_json.h"

static void
require(const char *name, const char *value)
{
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is missing: expected a text that is not empty", name)));
}

static void
answer_metrics(StringInfo text, const MetricsRequest *request, StringInfo next_cursor)
{
	MetricsAnswer *answer;
	MetricsAnswer *total;
	MetricsQuery ungrouped = request->query;
	AnswerPage page;

	require("event_name", request->query.event_name);
	if (request->cursor != NULL && request->query.group_by == NULL)
		RequestRefuse("cursor", request->cursor, "none without group_by");

	answer = MetricsCompute(&request->query);
	page = AnswerPageChoose(request, answer);
	if (page.end < answer->nrows)
		AnswerPageCursor(next_cursor, &request->query, &answer->rows[page.end - 1]);
	if (request->csv)
	{
		WriteMetricsCsv(text, answer, page);
		return;
	}
	ungrouped.group_by = NULL;
	total = request->query.group_by == NULL ? answer : MetricsCompute(&ungrouped);
	WriteMetricsJson(text, request, &total->rows[0], answer, page, next_cursor->data);
}

static void
answer_stats(StringInfo text, const StatsRequest *request)
{
	require("site_id", request->site_id);
	WriteStatsJson(text, request,
				   StatsCompute(request->site_id, request->date, true, request->limit));
}

void
AnswerMetrics(StringInfo text, const char *parameters, size_t len, bool *csv,
			  StringInfo next_cursor)
{
	MetricsRequest request;

	MetricsRequestRead(&request, parameters, len);
	answer_metrics(text, &request, next_cursor);
	*csv = request.csv;
}

void
AnswerStats(StringInfo text, const char *parameters, size_t len)
{
	StatsRequest request;

	StatsRequestRead(&request, parameters, len);
	answer_stats(text, &request);
}
