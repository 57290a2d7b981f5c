/*
 * answer_stats.c
 *
 * GET /stats: a website's day.
 */
#include "postgres.h"

#include "query/answers/answers.h"

#include "utils/datetime.h"

#include "query/answers/write_json.h"
#include "query/parameters/request_parameters.h"

void
AnswerStats(QueryAnswer *answer, const char *list, size_t len)
{
	StringInfo text = &answer->text;
	StatsParameters parameters;
	StatsAnswer *stats;
	int year;
	int month;
	int day;

	StatsParametersRead(&parameters, list, len);
	if (parameters.site_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site_id is missing: expected a text that is not empty")));
	stats = StatsCompute(parameters.site_id, parameters.date, true, parameters.limit);

	j2date(parameters.date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	appendStringInfoChar(text, '{');
	WriteTextMember(text, "site_id", parameters.site_id);
	appendStringInfo(text,
					 ",\"date\":\"%04d-%02d-%02d\",\"total_views\":" INT64_FORMAT
					 ",\"unique_users\":" INT64_FORMAT ",\"top_paths\":[",
					 year, month, day, stats->total_views, stats->unique_users);
	for (int i = 0; i < stats->npaths; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{" : "{");
		WriteTextMember(text, "path", stats->paths[i].path);
		appendStringInfo(text, ",\"views\":" INT64_FORMAT "}", stats->paths[i].views);
	}
	appendStringInfoString(text, "]}");
}
