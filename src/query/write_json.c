/*
 * write_json.c
 *
 * Writes answers as JSON and CSV.
 */
#include "postgres.h"

#include "query/write_json.h"

#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "base/unix_time.h"

static void
append_text_member(StringInfo text, const char *member, const char *value)
{
	appendStringInfo(text, "\"%s\":", member);
	escape_json(text, value);
}

/*
 * Append a time as Unix seconds, with as many decimals as it needs
 */
static void
append_time_member(StringInfo text, const char *member, TimestampTz time)
{
	int64 unix_us = time + UNIX_EPOCH_OFFSET;
	int64 us = unix_us % USECS_PER_SEC;

	appendStringInfo(text, ",\"%s\":%s" INT64_FORMAT, member,
					 unix_us < 0 && unix_us > -USECS_PER_SEC ? "-" : "", unix_us / USECS_PER_SEC);
	if (us == 0)
		return;
	appendStringInfo(text, ".%06d", abs((int) us));
	while (text->data[text->len - 1] == '0')
		text->data[--text->len] = '\0';
}

static void
append_counts(StringInfo text, const MetricsRow *row)
{
	appendStringInfo(text, "\"total_events\":" INT64_FORMAT ",\"unique_users\":" INT64_FORMAT,
					 row->total_events, row->unique_users);
}

/*
 * Would a spreadsheet take this for a formula? Some spreadsheets skip leading blanks, and
 * some also accept the full-width forms of = + - @.
 */
static bool
looks_like_formula(const char *value)
{
	static const char *const full_width[] = {"\xEF\xBC\x9D", "\xEF\xBC\x8B", "\xEF\xBC\x8D",
											 "\xEF\xBC\xA0"}; /* = + - @ */

	if (value[0] != '\0' && strchr("\t\r\n", value[0]) != NULL)
		return true;
	while (*value > '\0' && *value <= ' ')
		value++;
	for (int i = 0; i < (int) lengthof(full_width); i++)
		if (strncmp(value, full_width[i], strlen(full_width[i])) == 0)
			return true;
	return value[0] != '\0' && strchr("=+-@", value[0]) != NULL;
}

/*
 * Append a client's text as a field of CSV. It is quoted where RFC 4180 requires it, and also
 * where a spreadsheet could take a semicolon or a tab for the separator. A text that would be
 * a formula gets an apostrophe before it.
 */
static void
append_csv_field(StringInfo text, const char *value)
{
	const char *protection = looks_like_formula(value) ? "'" : "";

	if (value[strcspn(value, ",;\t\"\r\n")] == '\0')
	{
		appendStringInfo(text, "%s%s", protection, value);
		return;
	}
	appendStringInfo(text, "\"%s", protection);
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '"')
			appendStringInfoChar(text, '"');
		appendStringInfoChar(text, *c);
	}
	appendStringInfoChar(text, '"');
}

void
WriteMetricsCsv(StringInfo text, const MetricsAnswer *answer, AnswerPage page)
{
	appendStringInfoString(text, "group,total_events,unique_users");
	if (answer->by_key)
		appendStringInfoString(text, ",is_other");
	for (int i = page.first; i < page.end; i++)
	{
		const MetricsRow *row = &answer->rows[i];

		appendStringInfoString(text, "\r\n");
		append_csv_field(text, row->group ? row->group : "");
		appendStringInfo(text, "," INT64_FORMAT "," INT64_FORMAT, row->total_events,
						 row->unique_users);
		if (answer->by_key)
			appendStringInfoString(text, row->group == NULL ? ",true" : ",false");
	}
}

void
WriteMetricsJson(StringInfo text, const MetricsParameters *parameters, const MetricsRow *total,
				 const MetricsAnswer *answer, AnswerPage page, const char *next_cursor)
{
	const MetricsQuery *query = &parameters->query;

	appendStringInfoChar(text, '{');
	append_text_member(text, "event_name", query->event_name);
	if (query->has_from)
		append_time_member(text, "from", query->from);
	if (query->has_to)
		append_time_member(text, "to", query->to);
	appendStringInfoChar(text, ',');
	if (query->group_by != NULL)
	{
		append_text_member(text, "grouped_by", query->group_by);
		appendStringInfoChar(text, ',');
	}
	append_counts(text, total);
	if (query->group_by != NULL)
	{
		appendStringInfoString(text, ",\"data\":[");
		for (int i = page.first; i < page.end; i++)
		{
			appendStringInfoString(text, i > page.first ? ",{" : "{");
			if (answer->rows[i].group == NULL)
				appendStringInfoString(text, "\"group\":null,\"other\":true");
			else
				append_text_member(text, "group", answer->rows[i].group);
			appendStringInfoChar(text, ',');
			append_counts(text, &answer->rows[i]);
			appendStringInfoChar(text, '}');
		}
		appendStringInfoChar(text, ']');
		if (next_cursor[0] != '\0')
			appendStringInfo(text, ",\"next_cursor\":\"%s\"", next_cursor);
		if (answer->capped)
			appendStringInfoString(text, ",\"capped\":true");
	}
	appendStringInfoChar(text, '}');
}

void
WriteStatsJson(StringInfo text, const StatsParameters *parameters, const StatsAnswer *answer)
{
	int year;
	int month;
	int day;

	j2date(parameters->date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	appendStringInfoChar(text, '{');
	append_text_member(text, "site_id", parameters->site_id);
	appendStringInfo(text, ",\"date\":\"%04d-%02d-%02d\"", year, month, day);
	appendStringInfo(
		text, ",\"total_views\":" INT64_FORMAT ",\"unique_users\":" INT64_FORMAT ",\"top_paths\":[",
		answer->total_views, answer->unique_users);
	for (int i = 0; i < answer->npaths; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{" : "{");
		append_text_member(text, "path", answer->paths[i].path);
		appendStringInfo(text, ",\"views\":" INT64_FORMAT "}", answer->paths[i].views);
	}
	appendStringInfoString(text, "]}");
}
