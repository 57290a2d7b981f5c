/*
 * answer_series.c
 *
 * GET /series: points over time for a chart, in all or by the largest groups.
 */
#include "postgres.h"

#include "query/answers/answers.h"

#include "query/answers/write_csv.h"
#include "query/answers/write_json.h"
#include "query/parameters/filters.h"
#include "query/parameters/request_parameters.h"

/*
 * Write one line for each point of each series, after a header line
 */
static void
write_csv(StringInfo text, const SeriesAnswer *series, bool grouped)
{
	appendStringInfoString(text, grouped ? "time,group,total_events,unique_users,is_other"
										 : "time,total_events,unique_users");
	for (int i = 0; i < series->nseries; i++)
	{
		const Series *one = &series->series[i];

		for (int j = 0; j < one->npoints; j++)
		{
			appendStringInfoString(text, "\r\n");
			WriteTime(text, one->points[j].time);
			if (grouped)
			{
				appendStringInfoChar(text, ',');
				WriteCsvText(text, one->group);
			}
			WriteCsvCounts(text, one->points[j].total_events, one->points[j].unique_users);
			if (grouped)
				WriteCsvBool(text, one->is_other);
		}
	}
}

static void
write_series(StringInfo text, const Series *series)
{
	if (series->group != NULL)
		WriteTextMember(text, "group", series->group);
	else
		appendStringInfoString(text, "\"group\":null");
	appendStringInfoString(text, series->is_other ? ",\"other\":true," : ",");
	WriteCounts(text, series->total_events, series->unique_users);
	appendStringInfoString(text, ",\"points\":[");
	WritePoints(text, series->points, series->npoints);
	appendStringInfoChar(text, ']');
}

static void
write_json(StringInfo text, const MetricsQuery *query, const SeriesAnswer *series)
{
	appendStringInfoChar(text, '{');
	if (query->event_name != NULL)
	{
		WriteTextMember(text, "event_name", query->event_name);
		appendStringInfoChar(text, ',');
	}
	WriteRange(text, series->range, series->range.low > TIME_BEGIN, series->range.high < TIME_END);
	WriteTextMember(text, "step", series->step);
	appendStringInfoChar(text, ',');
	if (query->group_by != NULL)
	{
		WriteTextMember(text, "grouped_by", query->group_by);
		appendStringInfoChar(text, ',');
	}
	WriteCounts(text, series->total_events, series->unique_users);
	appendStringInfo(text, ",\"raw_rows\":" INT64_FORMAT ",\"series\":[", series->sources.raw_rows);
	for (int i = 0; i < series->nseries; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{" : "{");
		write_series(text, &series->series[i]);
		appendStringInfoChar(text, '}');
	}
	appendStringInfoString(text, "]}");
}

void
AnswerSeries(QueryAnswer *answer, const char *list, size_t len)
{
	SeriesParameters parameters;
	const MetricsQuery *query = &parameters.query.metrics;
	SeriesAnswer *series;

	SeriesParametersRead(&parameters, list, len);
	FiltersRequireKnown(&SeriesParameterTable, query);
	series = SeriesCompute(&parameters.query);
	answer->csv = parameters.csv;
	if (parameters.csv)
		write_csv(&answer->text, series, query->group_by != NULL);
	else
		write_json(&answer->text, query, series);
}
