/*
 * answer_metrics.c
 *
 * GET /metrics: the events and unique users of a range, in all and by group.
 */
#include "postgres.h"

#include "query/answers/answers.h"

#include "query/answers/page.h"
#include "query/answers/write_csv.h"
#include "query/answers/write_json.h"
#include "query/parameters/filters.h"
#include "query/parameters/parameter_values.h"
#include "query/parameters/request_parameters.h"

/*
 * Write one line for each row of the page, after a header line
 */
static void
write_csv(StringInfo text, const MetricsAnswer *metrics, AnswerPage page)
{
	appendStringInfoString(text, "group,total_events,unique_users");
	if (metrics->by_key)
		appendStringInfoString(text, ",is_other");
	for (int i = page.first; i < page.end; i++)
	{
		const MetricsRow *row = &metrics->rows[i];

		appendStringInfoString(text, "\r\n");
		WriteCsvText(text, row->group);
		WriteCsvCounts(text, row->total_events, row->unique_users);
		if (metrics->by_key)
			WriteCsvBool(text, row->group == NULL);
	}
}

static void
write_groups(StringInfo text, const MetricsAnswer *metrics, AnswerPage page,
			 const char *next_cursor)
{
	appendStringInfoString(text, ",\"data\":[");
	WriteRows(text, "group", metrics->rows + page.first, page.end - page.first);
	appendStringInfoChar(text, ']');
	if (next_cursor[0] != '\0')
		appendStringInfo(text, ",\"next_cursor\":\"%s\"", next_cursor);
	if (metrics->capped)
		appendStringInfoString(text, ",\"capped\":true");
}

/*
 * Compute the only row of a query without its groups: unique users cannot be summed across
 * groups. It is of the range that was answered, because other rows of the rollup could align
 * to a wider one.
 */
static MetricsAnswer *
compute_total(const MetricsQuery *query, const MetricsAnswer *metrics)
{
	MetricsQuery ungrouped = *query;

	ungrouped.group_by = NULL;
	if (query->align)
	{
		ungrouped.align = false;
		ungrouped.from = metrics->range.low;
		ungrouped.to = metrics->range.high;
	}
	return MetricsCompute(&ungrouped);
}

static void
write_json(QueryAnswer *answer, const MetricsQuery *query, const MetricsAnswer *metrics,
		   AnswerPage page)
{
	StringInfo text = &answer->text;
	bool grouped = query->group_by != NULL;
	const MetricsAnswer *total = grouped ? compute_total(query, metrics) : metrics;
	int64 raw_rows = metrics->sources.raw_rows + (grouped ? total->sources.raw_rows : 0);

	appendStringInfoChar(text, '{');
	if (query->event_name != NULL)
	{
		WriteTextMember(text, "event_name", query->event_name);
		appendStringInfoChar(text, ',');
	}
	WriteRange(text, metrics->range, query->has_from, query->has_to);
	if (grouped)
	{
		WriteTextMember(text, "grouped_by", query->group_by);
		appendStringInfoChar(text, ',');
	}
	WriteCounts(text, total->rows[0].total_events, total->rows[0].unique_users);
	appendStringInfo(text, ",\"raw_rows\":" INT64_FORMAT, raw_rows);
	if (grouped)
		write_groups(text, metrics, page, answer->next_cursor.data);
	appendStringInfoChar(text, '}');
}

void
AnswerMetrics(QueryAnswer *answer, const char *list, size_t len)
{
	MetricsParameters parameters;
	const MetricsQuery *query = &parameters.query;
	MetricsAnswer *metrics;
	AnswerPage page;

	MetricsParametersRead(&parameters, list, len);
	FiltersRequireKnown(&MetricsParameterTable, query);
	if (parameters.cursor != NULL && query->group_by == NULL)
		ParameterRefuse("cursor", parameters.cursor, "none without group_by");

	/* a later page begins behind groups that must be counted, too */
	if (parameters.cursor == NULL)
		parameters.query.limit = AnswerPageLimit(&parameters);
	metrics = MetricsCompute(query);
	page = AnswerPageFind(&parameters, metrics);
	if (page.end < metrics->ngroups)
		AnswerPageAppendCursor(&answer->next_cursor, metrics, page);
	answer->csv = parameters.csv;
	if (parameters.csv)
		write_csv(&answer->text, metrics, page);
	else
		write_json(answer, query, metrics, page);
}
