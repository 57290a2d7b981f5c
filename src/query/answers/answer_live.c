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

static void
write_minutes(StringInfo text, const LiveAnswer *live)
{
	for (int i = 0; i < LIVE_MINUTES; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{\"time\":" : "{\"time\":");
		WriteTime(text, live->minutes[i].time);
		appendStringInfoChar(text, ',');
		WriteCounts(text, live->minutes[i].total_events, live->minutes[i].unique_users);
		appendStringInfoChar(text, '}');
	}
}

/*
 * Write rows; member is what the groups are. The keys that are counted together are other.
 */
static void
write_rows(StringInfo text, const char *member, const MetricsRow *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{" : "{");
		if (rows[i].group != NULL)
			WriteTextMember(text, member, rows[i].group);
		else
			appendStringInfo(text, "\"%s\":null,\"other\":true", member);
		appendStringInfoChar(text, ',');
		WriteCounts(text, rows[i].total_events, rows[i].unique_users);
		appendStringInfoChar(text, '}');
	}
}

void
AnswerLive(QueryAnswer *answer, const char *list, size_t len)
{
	StringInfo text = &answer->text;
	LiveParameters parameters;
	LiveAnswer *live;

	LiveParametersRead(&parameters, list, len);
	live = LiveCompute(parameters.site, parameters.top);

	appendStringInfoChar(text, '{');
	if (parameters.site != NULL)
	{
		WriteTextMember(text, "site", parameters.site);
		appendStringInfoChar(text, ',');
	}
	appendStringInfoString(text, "\"now\":");
	WriteTime(text, live->now);
	appendStringInfoString(text, ",\"last_5_minutes\":{");
	WriteCounts(text, live->events_5, live->users_5);
	appendStringInfoString(text, "},\"last_30_minutes\":{");
	WriteCounts(text, live->events_30, live->users_30);
	appendStringInfoString(text, "},\"minutes\":[");
	write_minutes(text, live);
	appendStringInfoString(text, "],\"pages_since\":");
	WriteTime(text, live->pages_since);
	appendStringInfoString(text, ",\"pages\":[");
	write_rows(text, "path", live->pages, live->npages);
	appendStringInfoString(text, "],\"event_names\":[");
	write_rows(text, "event_name", live->names, live->nnames);
	appendStringInfoString(text, "]}");
}
