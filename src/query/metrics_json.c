/*
 * metrics_json.c
 *
 * Computes the bodies of GET /metrics and GET /stats: reads the parameters, computes the
 * answer, and writes it.
 */
#include "postgres.h"

#include "query/metrics_json.h"

#include "query/page.h"
#include "query/request_parameters.h"
#include "query/write_json.h"

static void
require_parameter(const char *name, const char *value)
{
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is missing: expected a text that is not empty", name)));
}

void
AnswerMetrics(StringInfo text, const char *list, size_t len, bool *csv, StringInfo next_cursor)
{
	MetricsParameters parameters;
	const MetricsQuery *query = &parameters.query;
	MetricsAnswer *answer;
	MetricsAnswer *total;
	MetricsQuery ungrouped;
	AnswerPage page;

	MetricsParametersRead(&parameters, list, len);
	require_parameter("event_name", query->event_name);
	if (parameters.cursor != NULL && query->group_by == NULL)
		ParameterRefuse("cursor", parameters.cursor, "none without group_by");

	answer = MetricsCompute(query);
	page = AnswerPageFind(&parameters, answer);
	if (page.end < answer->nrows)
		AnswerPageAppendCursor(next_cursor, answer, page);
	*csv = parameters.csv;
	if (parameters.csv)
	{
		WriteMetricsCsv(text, answer, page);
		return;
	}
	/* unique users cannot be summed across groups */
	ungrouped = *query;
	ungrouped.group_by = NULL;
	total = query->group_by == NULL ? answer : MetricsCompute(&ungrouped);
	WriteMetricsJson(text, &parameters, &total->rows[0], answer, page, next_cursor->data);
}

void
AnswerStats(StringInfo text, const char *list, size_t len)
{
	StatsParameters parameters;

	StatsParametersRead(&parameters, list, len);
	require_parameter("site_id", parameters.site_id);
	WriteStatsJson(text, &parameters,
				   StatsCompute(parameters.site_id, parameters.date, true, parameters.limit));
}
