/*
 * answer_live.c
 *
 * GET /live: what happens now.
 */
#include "postgres.h"

#include "query/answers/answers.h"

#include "query/answers/write_json.h"
#include "query/parameters/request_parameters.h"
#include "rollup/questions/live.h"

void
AnswerLive(QueryAnswer *answer, const char *list, size_t len)
{
	StringInfo text = &answer->text;
	LiveParameters parameters;
	MetricsFilter filter = {"site", 1, &parameters.site};
	LiveQuery query = {.filters = &filter};
	LiveAnswer *live;

	LiveParametersRead(&parameters, list, len);
	query.nfilters = parameters.site != NULL;
	query.top = parameters.top;
	live = LiveCompute(&query);

	appendStringInfoChar(text, '{');
	if (parameters.site != NULL)
	{
		WriteTextMember(text, "site", parameters.site);
		appendStringInfoChar(text, ',');
	}
	appendStringInfoString(text, "\"now\":");
	WriteTime(text, live->now);
	appendStringInfoChar(text, ',');
	WriteLive(text, live);
	appendStringInfoString(text, ",\"pages_since\":");
	WriteTime(text, live->pages_since);
	appendStringInfoString(text, ",\"pages\":[");
	WriteRows(text, "path", live->pages, live->npages);
	appendStringInfoString(text, "],\"event_names\":[");
	WriteRows(text, "event_name", live->names, live->nnames);
	appendStringInfoString(text, "]}");
}
