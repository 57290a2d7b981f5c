/*
 * answer_event_names.c
 *
 * GET /event_names: the names that events have.
 */
#include "postgres.h"

#include "query/answers/answers.h"

#include "query/answers/write_csv.h"
#include "query/answers/write_json.h"
#include "query/parameters/filters.h"
#include "query/parameters/request_parameters.h"
#include "rollup/questions/event_names.h"

static void
write_csv(StringInfo text, const EventNamesAnswer *names)
{
	appendStringInfoString(text,
						   "event_name,total_events,unique_users,first_seen,last_seen,is_other");
	for (int i = 0; i < names->n; i++)
	{
		const EventName *name = &names->names[i];

		appendStringInfoString(text, "\r\n");
		WriteCsvText(text, name->event_name);
		WriteCsvCounts(text, name->total_events, name->unique_users);
		appendStringInfoChar(text, ',');
		WriteTime(text, name->first_seen);
		appendStringInfoChar(text, ',');
		WriteTime(text, name->last_seen);
		WriteCsvBool(text, name->event_name == NULL);
	}
}

static void
write_json(StringInfo text, const MetricsQuery *query, const EventNamesAnswer *names)
{
	appendStringInfoChar(text, '{');
	WriteRange(text, names->range, query->has_from, query->has_to);
	appendStringInfo(text, "\"raw_rows\":" INT64_FORMAT ",\"event_names\":[",
					 names->sources.raw_rows);
	for (int i = 0; i < names->n; i++)
	{
		const EventName *name = &names->names[i];

		appendStringInfoString(text, i > 0 ? ",{" : "{");
		if (name->event_name != NULL)
			WriteTextMember(text, "event_name", name->event_name);
		else
			appendStringInfoString(text, "\"event_name\":null,\"other\":true");
		appendStringInfoChar(text, ',');
		WriteCounts(text, name->total_events, name->unique_users);
		appendStringInfoString(text, ",\"first_seen\":");
		WriteTime(text, name->first_seen);
		appendStringInfoString(text, ",\"last_seen\":");
		WriteTime(text, name->last_seen);
		appendStringInfoChar(text, '}');
	}
	appendStringInfoString(text, "]}");
}

void
AnswerEventNames(QueryAnswer *answer, const char *list, size_t len)
{
	EventNamesParameters parameters;
	EventNamesAnswer *names;

	EventNamesParametersRead(&parameters, list, len);
	FiltersRequireKnown(&EventNamesParameterTable, &parameters.query);
	names = EventNamesCompute(&parameters.query);
	answer->csv = parameters.csv;
	if (parameters.csv)
		write_csv(&answer->text, names);
	else
		write_json(&answer->text, &parameters.query, names);
}
