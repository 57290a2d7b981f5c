/*
 * answer.c
 *
 * The bodies of GET /metrics and GET /stats, for query workers and as SQL
 * functions.
 *
 * A page of a grouped answer ends with a cursor: the place of its last group in the
 * order of groups, which is the time of hours and days, and the total and the key
 * of others. The next page begins behind this place, whether or not the group is
 * still there.
 */
#include "postgres.h"

#include "rollup/answer.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "rollup/metrics.h"

/* Groups of one page where the request says nothing; hours and days have no such limit. */
#define DEFAULT_KEYS 1000

#define DEFAULT_PATHS 10

#define METRICS_PARAMETERS \
	"event_name, from, to, group_by, channel, timezone, fill, limit, cursor and format"
#define STATS_PARAMETERS "site_id, date and limit"

PG_FUNCTION_INFO_V1(fi_metrics_json);
PG_FUNCTION_INFO_V1(fi_stats_json);

/* A page of an answer: rows first <= i < end. */
typedef struct
{
	int first;
	int end;
} AnswerPage;

typedef struct
{
	MetricsQuery query;
	int limit;			/* 0: not given */
	const char *cursor; /* NULL: from the beginning */
	bool csv;
} MetricsRequest;

typedef struct
{
	const char *site_id;
	DateADT date;
	int limit;
} StatsRequest;

/* ---------------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------------
 */

pg_noreturn static void refuse(const char *name, const char *value, const char *expected);

static void
refuse(const char *name, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not allowed: expected %s", name, value, expected)));
}

static void
require(const char *name, const char *value)
{
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is missing: expected a text that is not empty", name)));
}

/*
 * Does the query go by time?
 */
static bool
groups_are_times(const MetricsQuery *query)
{
	return query->group_by != NULL &&
		   (strcmp(query->group_by, "hour") == 0 || strcmp(query->group_by, "day") == 0);
}

/*
 * The "+" of an offset from UTC is a space in a URL where it is not escaped
 */
static const char *
restore_plus(const char *value)
{
	const char *space = strrchr(value, ' ');
	char *copy;

	if (space == NULL || strchr(value, 'T') == NULL ||
		strspn(space + 1, "0123456789:") != strlen(space + 1))
		return value;
	copy = pstrdup(value);
	copy[space - value] = '+';
	return copy;
}

static TimestampTz
read_time(const char *name, const char *value)
{
	TimestampTz time;

	if (!MetricsParseTime(restore_plus(value), &time))
		refuse(name, value, "Unix seconds, or a time as in RFC 3339");
	return time;
}

static int
read_limit(const char *value)
{
	size_t len = strlen(value);
	long limit = len <= 10 && strspn(value, "0123456789") == len ? strtol(value, NULL, 10) : 0;

	if (limit < 1 || limit > PG_INT32_MAX)
		refuse("limit", value, "a whole number from 1 to 2147483647");
	return (int) limit;
}

static bool
read_fill(const char *value)
{
	bool fill;

	if (!parse_bool(value, &fill))
		refuse("fill", value, "true or false");
	return fill;
}

static bool
read_csv(const char *value)
{
	bool csv = strcmp(value, "csv") == 0;

	if (!csv && strcmp(value, "json") != 0)
		refuse("format", value, "json or csv");
	return csv;
}

static DateADT
read_date(const char *value)
{
	int year;
	int month;
	int day;
	int same_year;
	int same_month;
	int same_day;
	DateADT date;

	if (strlen(value) != 10 || strspn(value, "0123456789-") != 10 ||
		sscanf(value, "%4d-%2d-%2d", &year, &month, &day) != 3 || value[4] != '-' ||
		value[7] != '-' || year < 1)
		refuse("date", value, "YYYY-MM-DD");
	date = date2j(year, month, day);
	j2date(date, &same_year, &same_month, &same_day);
	if (year != same_year || month != same_month || day != same_day)
		refuse("date", value, "a day that exists, as YYYY-MM-DD");
	return date - POSTGRES_EPOCH_JDATE;
}

/*
 * The UTC day of the transaction
 */
static DateADT
today(void)
{
	return (DateADT) (GetCurrentTransactionStartTimestamp() / USECS_PER_DAY);
}

/*
 * Take one parameter; false if there is none of that name
 */
static bool
take_metrics_parameter(MetricsRequest *request, const char *name, const char *value)
{
	MetricsQuery *query = &request->query;

	if (strcmp(name, "event_name") == 0)
		query->event_name = value;
	else if (strcmp(name, "from") == 0)
	{
		query->has_from = true;
		query->from = read_time(name, value);
	}
	else if (strcmp(name, "to") == 0)
	{
		query->has_to = true;
		query->to = read_time(name, value);
	}
	else if (strcmp(name, "group_by") == 0)
		query->group_by = value;
	else if (strcmp(name, "channel") == 0)
		query->channel = value;
	else if (strcmp(name, "timezone") == 0)
		query->timezone = value;
	else if (strcmp(name, "fill") == 0)
		query->fill = read_fill(value);
	else if (strcmp(name, "limit") == 0)
		request->limit = read_limit(value);
	else if (strcmp(name, "cursor") == 0)
		request->cursor = value;
	else if (strcmp(name, "format") == 0)
		request->csv = read_csv(value);
	else
		return false;
	return true;
}

static bool
take_stats_parameter(StatsRequest *request, const char *name, const char *value)
{
	if (strcmp(name, "site_id") == 0)
		request->site_id = value;
	else if (strcmp(name, "date") == 0)
		request->date = read_date(value);
	else if (strcmp(name, "limit") == 0)
		request->limit = read_limit(value);
	else
		return false;
	return true;
}

/*
 * The next parameter of a list; false at its end
 */
static bool
next_parameter(const char **p, const char *end, const char **name, const char **value)
{
	if (*p >= end)
		return false;
	*name = *p;
	*value = *name + strlen(*name) + 1;
	*p = *value + strlen(*value) + 1;
	if (**value == '\0' && **name != '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is empty: expected a value, or no %s", *name, *name)));
	return true;
}

pg_noreturn static void refuse_unknown(const char *name, const char *allowed);

static void
refuse_unknown(const char *name, const char *allowed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown parameter \"%s\": expected %s", name, allowed)));
}

/* ---------------------------------------------------------------------------
 * Paging
 * ---------------------------------------------------------------------------
 */

static TimestampTz
time_of_group(const MetricsRow *row)
{
	TimestampTz time;

	if (!MetricsParseTime(row->group, &time))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("group \"%s\" is not a time", row->group)));
	return time;
}

/*
 * The place of a group in the order of groups, in hexadecimal digits: it goes
 * into a URL as it is
 */
static void
append_cursor(StringInfo cursor, const MetricsQuery *query, const MetricsRow *row)
{
	char *place = groups_are_times(query)
					  ? psprintf(INT64_FORMAT " ", time_of_group(row))
					  : psprintf(INT64_FORMAT " %s", row->total_events, row->group);
	size_t len = strlen(place);

	enlargeStringInfo(cursor, (int) (2 * len));
	cursor->len += (int) hex_encode(place, len, cursor->data + cursor->len);
	cursor->data[cursor->len] = '\0';
}

/*
 * Read a cursor: a number and a text behind a space
 */
static int64
read_cursor(const char *cursor, char **key)
{
	size_t len = strlen(cursor);
	char *place = palloc(len / 2 + 1);
	char *end = place;
	int64 number = 0;

	if (len % 2 == 0 && strspn(cursor, "0123456789abcdefABCDEF") == len)
	{
		place[hex_decode(cursor, len, place)] = '\0';
		number = strtoll(place, &end, 10);
	}
	if (end == place || *end != ' ' || strlen(place) != len / 2 ||
		pg_encoding_verifymbstr(PG_UTF8, place, (int) strlen(place)) != (int) strlen(place))
		refuse("cursor", cursor, "next_cursor of an answer");
	*key = end + 1;
	return number;
}

/*
 * Does a row come behind the place of a cursor?
 */
static bool
is_behind(const MetricsQuery *query, const MetricsRow *row, int64 number, const char *key)
{
	if (groups_are_times(query))
		return time_of_group(row) > number;
	return row->total_events < number ||
		   (row->total_events == number && strcmp(row->group, key) > 0);
}

static AnswerPage
choose_page(const MetricsRequest *request, const MetricsAnswer *answer)
{
	AnswerPage page = {0, answer->nrows};
	int limit = request->limit;

	if (request->cursor != NULL)
	{
		char *key;
		int64 number = read_cursor(request->cursor, &key);

		while (page.first < answer->nrows &&
			   !is_behind(&request->query, &answer->rows[page.first], number, key))
			page.first++;
	}
	if (limit == 0 && !request->csv && !groups_are_times(&request->query))
		limit = DEFAULT_KEYS;
	if (limit > 0 && answer->nrows - page.first > limit)
		page.end = page.first + limit;
	return page;
}

/* ---------------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------------
 */

static void
append_text(StringInfo text, const char *member, const char *value)
{
	appendStringInfo(text, "\"%s\":", member);
	escape_json(text, value);
}

/*
 * A time as Unix seconds, with as many decimals as it needs
 */
static void
append_time(StringInfo text, const char *member, TimestampTz time)
{
	int64 unix_us = time + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
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
 * A field of a line of CSV, quoted where RFC 4180 wants it
 */
static void
append_csv_field(StringInfo text, const char *value)
{
	if (value[strcspn(value, ",\"\r\n")] == '\0')
	{
		appendStringInfoString(text, value);
		return;
	}
	appendStringInfoChar(text, '"');
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '"')
			appendStringInfoChar(text, '"');
		appendStringInfoChar(text, *c);
	}
	appendStringInfoChar(text, '"');
}

static void
write_csv(StringInfo text, const MetricsAnswer *answer, AnswerPage page)
{
	appendStringInfoString(text, "group,total_events,unique_users");
	for (int i = page.first; i < page.end; i++)
	{
		const MetricsRow *row = &answer->rows[i];

		appendStringInfoString(text, "\r\n");
		append_csv_field(text, row->group ? row->group : "");
		appendStringInfo(text, "," INT64_FORMAT "," INT64_FORMAT, row->total_events,
						 row->unique_users);
	}
}

/*
 * total is the row of the same question without groups; answer and page are of
 * no use where there are none
 */
static void
write_json(StringInfo text, const MetricsRequest *request, const MetricsRow *total,
		   const MetricsAnswer *answer, AnswerPage page, const char *next_cursor)
{
	const MetricsQuery *query = &request->query;

	appendStringInfoChar(text, '{');
	append_text(text, "event_name", query->event_name);
	if (query->has_from)
		append_time(text, "from", query->from);
	if (query->has_to)
		append_time(text, "to", query->to);
	appendStringInfoChar(text, ',');
	if (query->group_by != NULL)
	{
		append_text(text, "grouped_by", query->group_by);
		appendStringInfoChar(text, ',');
	}
	append_counts(text, total);
	if (query->group_by != NULL)
	{
		appendStringInfoString(text, ",\"data\":[");
		for (int i = page.first; i < page.end; i++)
		{
			appendStringInfoString(text, i > page.first ? ",{" : "{");
			append_text(text, "group", answer->rows[i].group);
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

static void
answer_metrics(StringInfo text, const MetricsRequest *request, StringInfo next_cursor)
{
	MetricsAnswer *answer;
	MetricsAnswer *total;
	MetricsQuery ungrouped = request->query;
	AnswerPage page;

	require("event_name", request->query.event_name);
	if (request->cursor != NULL && request->query.group_by == NULL)
		refuse("cursor", request->cursor, "none without group_by");

	answer = MetricsCompute(&request->query);
	page = choose_page(request, answer);
	if (page.end < answer->nrows)
		append_cursor(next_cursor, &request->query, &answer->rows[page.end - 1]);
	if (request->csv)
	{
		write_csv(text, answer, page);
		return;
	}
	ungrouped.group_by = NULL;
	total = request->query.group_by == NULL ? answer : MetricsCompute(&ungrouped);
	write_json(text, request, &total->rows[0], answer, page, next_cursor->data);
}

static void
answer_stats(StringInfo text, const StatsRequest *request)
{
	StatsAnswer *answer;
	int year;
	int month;
	int day;

	require("site_id", request->site_id);
	answer = StatsCompute(request->site_id, request->date, request->limit);

	j2date(request->date + POSTGRES_EPOCH_JDATE, &year, &month, &day);

	appendStringInfoChar(text, '{');
	append_text(text, "site_id", request->site_id);
	appendStringInfo(text, ",\"date\":\"%04d-%02d-%02d\"", year, month, day);
	appendStringInfo(
		text, ",\"total_views\":" INT64_FORMAT ",\"unique_users\":" INT64_FORMAT ",\"top_paths\":[",
		answer->total_views, answer->unique_users);
	for (int i = 0; i < answer->npaths; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{" : "{");
		append_text(text, "path", answer->paths[i].path);
		appendStringInfo(text, ",\"views\":" INT64_FORMAT "}", answer->paths[i].views);
	}
	appendStringInfoString(text, "]}");
}

/* ---------------------------------------------------------------------------
 * Entry points
 * ---------------------------------------------------------------------------
 */

void
AnswerMetrics(StringInfo text, const char *parameters, size_t len, bool *csv,
			  StringInfo next_cursor)
{
	MetricsRequest request = {.query = {.fill = true}};
	const char *end = parameters + len;
	const char *name;
	const char *value;

	while (next_parameter(&parameters, end, &name, &value))
		if (!take_metrics_parameter(&request, name, value))
			refuse_unknown(name, METRICS_PARAMETERS);
	answer_metrics(text, &request, next_cursor);
	*csv = request.csv;
}

void
AnswerStats(StringInfo text, const char *parameters, size_t len)
{
	StatsRequest request = {.date = today(), .limit = DEFAULT_PATHS};
	const char *end = parameters + len;
	const char *name;
	const char *value;

	while (next_parameter(&parameters, end, &name, &value))
		if (!take_stats_parameter(&request, name, value))
			refuse_unknown(name, STATS_PARAMETERS);
	answer_stats(text, &request);
}

static const char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
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
			*time = read_time(name, psprintf(INT64_FORMAT, PG_GETARG_INT64(i)));
			break;
		default:
			*time = read_time(name, text_to_cstring(PG_GETARG_TEXT_PP(i)));
			break;
	}
	if (TIMESTAMP_NOT_FINITE(*time))
		refuse(name, TIMESTAMP_IS_NOBEGIN(*time) ? "-infinity" : "infinity", "a finite time");
	return true;
}

Datum
fi_metrics_json(PG_FUNCTION_ARGS)
{
	MetricsRequest request = {0};
	StringInfoData text;
	StringInfoData next_cursor;

	request.query.event_name = text_argument(fcinfo, 0);
	request.query.has_from = time_argument(fcinfo, 1, "from", &request.query.from);
	request.query.has_to = time_argument(fcinfo, 2, "to", &request.query.to);
	request.query.group_by = text_argument(fcinfo, 3);
	request.query.channel = text_argument(fcinfo, 4);
	request.query.timezone = text_argument(fcinfo, 5);
	request.query.fill = PG_ARGISNULL(6) || PG_GETARG_BOOL(6);
	if (!PG_ARGISNULL(7))
		request.limit = read_limit(psprintf("%d", PG_GETARG_INT32(7)));
	request.cursor = text_argument(fcinfo, 8);

	initStringInfo(&text);
	initStringInfo(&next_cursor);
	answer_metrics(&text, &request, &next_cursor);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}

Datum
fi_stats_json(PG_FUNCTION_ARGS)
{
	StatsRequest request = {0};
	StringInfoData text;

	request.site_id = text_argument(fcinfo, 0);
	request.date = PG_ARGISNULL(1) ? today() : PG_GETARG_DATEADT(1);
	if (DATE_NOT_FINITE(request.date))
		refuse("date", DATE_IS_NOBEGIN(request.date) ? "-infinity" : "infinity", "a finite date");
	request.limit =
		PG_ARGISNULL(2) ? DEFAULT_PATHS : read_limit(psprintf("%d", PG_GETARG_INT32(2)));

	initStringInfo(&text);
	answer_stats(&text, &request);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}
