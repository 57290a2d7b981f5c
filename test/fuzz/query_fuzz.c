/*
 * query_fuzz.c
 *
 * Fuzzes the parameters of questions: libmicrohttpd splits and unescapes a query string, the
 * listener checks the parameters, and the query worker reads them and the cursor. The first byte of
 * an input chooses the route. The rest is the query string as it stands in a URL.
 *
 * What must hold for any bytes: either they are refused with a message, or all values are
 * within their limits. A cursor that an answer gave leads to the row behind the one it names.
 *
 * The code under test calls a few functions of a server. This file defines them.
 */
#include "postgres.h"

#include <setjmp.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "arena.h"
#include "base/time_ranges.h"
#include "http/answer/query_parameters.h"
#include "shared/query_slot.h"
#include "query/answers/page.h"
#include "query/parameters/parameter_values.h"
#include "query/parameters/request_parameters.h"
#include "query/parameters/value_list.h"
#include "rollup/questions/live.h"

static sigjmp_buf on_error;
static char message[4096];
static int error_code;

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* --- functions of a server --------------------------------------------- */

MemoryContext CurrentMemoryContext = NULL;

bool
errstart(int elevel, const char *domain)
{
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return true;
}

int
errcode(int sqlerrcode)
{
	error_code = sqlerrcode;
	return 0;
}

int
errmsg(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	siglongjmp(on_error, 1);
}

bool
parse_bool(const char *value, bool *result)
{
	*result = strcmp(value, "true") == 0;
	return *result || strcmp(value, "false") == 0;
}

TimestampTz
GetCurrentTransactionStartTimestamp(void)
{
	return 0;
}

TimestampTz
BucketStart(TimestampTz ts, BucketLevel level)
{
	return ts;
}

int
pg_encoding_mbcliplen(int encoding, const char *text, int len, int limit)
{
	int cut = Min(len, limit);

	while (cut > 0 && cut < len && ((unsigned char) text[cut] & 0xC0) == 0x80)
		cut--;
	return cut;
}

static int
hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

uint64
hex_decode(const char *src, size_t len, char *dst)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		dst[i / 2] = (char) (hex_value(src[i]) << 4 | hex_value(src[i + 1]));
	return len / 2;
}

uint64
hex_encode(const char *src, size_t len, char *dst)
{
	for (size_t i = 0; i < len; i++)
	{
		dst[2 * i] = "0123456789abcdef"[(unsigned char) src[i] >> 4];
		dst[2 * i + 1] = "0123456789abcdef"[(unsigned char) src[i] & 15];
	}
	return 2 * len;
}

/* The Julian day of a date of the Gregorian calendar. Years are counted from March. */
int
date2j(int year, int month, int day)
{
	int y = month > 2 ? year + 4800 : year + 4799;
	int m = month > 2 ? month + 1 : month + 13;

	return y * 365 - 32167 + y / 4 - y / 100 + y / 400 + 7834 * m / 256 + day;
}

void
j2date(int days, int *year, int *month, int *day)
{
	/* try years and months until date2j gives these days */
	for (*year = (days - 1721060) / 366 - 1;; (*year)++)
		if (date2j(*year + 1, 1, 1) > days)
			break;
	for (*month = 1; *month < 12 && date2j(*year, *month + 1, 1) <= days; (*month)++)
		;
	*day = days - date2j(*year, *month, 1) + 1;
}

/* --- the work of libmicrohttpd ----------------------------------------- */

/*
 * Unescape in place; returns the new length
 */
static size_t
unescape(char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '+')
			text[n++] = ' ';
		else if (text[i] == '%' && i + 2 < len && isxdigit((unsigned char) text[i + 1]) &&
				 isxdigit((unsigned char) text[i + 2]))
		{
			text[n++] = (char) (hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
			i += 2;
		}
		else
			text[n++] = text[i];
	}
	text[n] = '\0';
	return n;
}

/*
 * Copy a text into an allocation that ends with its NUL, so that reading beyond it is noticed
 */
static char *
copy_text(const char *text, size_t len)
{
	char *copy = palloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

/*
 * Add the parameters of a query string; false if one is refused
 */
static bool
add_parameters(Parameters *parameters, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end)
	{
		const char *next = memchr(text, '&', end - text);
		const char *stop = next ? next : end;
		const char *equals = memchr(text, '=', stop - text);
		const char *name_end = equals ? equals : stop;
		char *name = copy_text(text, name_end - text);
		size_t name_len = unescape(name, name_end - text);
		char *value = equals ? copy_text(equals + 1, stop - equals - 1) : NULL;
		size_t value_len = equals ? unescape(value, stop - equals - 1) : 0;

		if (!ParametersAdd(parameters, name, name_len, value, value_len))
			return false;
		text = stop + 1;
	}
	return true;
}

/* --- the checks -------------------------------------------------------- */

static void
check_text(const char *text)
{
	require(pg_encoding_verifymbstr(PG_UTF8, text, (int) strlen(text)) == (int) strlen(text));
}

/*
 * Check a cursor that was accepted. It is a number, a space and a text, which is empty for
 * hours and days. A number alone is a cursor, too, but not of hours and days.
 */
static void
check_cursor(const char *cursor, bool times)
{
	size_t len = strlen(cursor) / 2;
	char *place = palloc(len + 1);
	char *space;

	hex_decode(cursor, 2 * len, place);
	place[len] = '\0';
	require(strlen(place) == len);
	check_text(place);
	require(strspn(place, "+- \t\n\v\f\r0123456789") > 0 && strpbrk(place, "0123456789") != NULL);
	space = strchr(strpbrk(place, "0123456789"), ' ');
	require(!times || (space != NULL && space[1] == '\0'));
}

/*
 * Check the page that is found in an answer of a few rows, and the cursors of these rows
 */
static void
check_page(MetricsParameters *request)
{
	MetricsRow by_time[] = {{.group = "-4712-01-01T00:00:00+05:41:16", .order = PG_INT64_MIN},
							{.group = "2024-03-31T00:00:00+05:45", .order = 0},
							{.group = "10000-01-01T00:00:00Z", .order = PG_INT64_MAX}};
	MetricsRow by_key[] = {{.group = "web", .total_events = 7},
						   {.group = NULL, .total_events = 5},
						   {.group = "a b", .total_events = 5},
						   {.group = "\xc3\xa9", .total_events = 5},
						   {.group = "", .total_events = 1}};
	bool times = request->query.group_by != NULL && (strcmp(request->query.group_by, "hour") == 0 ||
													 strcmp(request->query.group_by, "day") == 0);
	MetricsAnswer answer = {.nrows = times ? lengthof(by_time) : lengthof(by_key),
							.rows = times ? by_time : by_key,
							.by_key = !times};
	AnswerPage page;

	for (int i = 0; i < answer.nrows; i++)
	{
		MetricsParameters next = *request;
		StringInfoData cursor;

		initStringInfo(&cursor);
		AnswerPageAppendCursor(&cursor, &answer, (AnswerPage){0, i + 1});
		next.cursor = cursor.data;
		require(AnswerPageFind(&next, &answer).first == i + 1);
	}
	page = AnswerPageFind(request, &answer);
	if (request->cursor != NULL)
		check_cursor(request->cursor, times);
	require(page.first >= 0 && page.first <= page.end && page.end <= answer.nrows);
	require(request->limit == 0 || page.end - page.first <= request->limit);
}

/*
 * Check the filters of a query. Its values, written as a list again, are read as the same.
 */
static void
check_filters(const MetricsQuery *query)
{
	for (int i = 0; i < query->nfilters; i++)
	{
		const MetricsFilter *filter = &query->filters[i];
		StringInfoData list;
		const char *rest;

		require(filter->name[0] != '\0' && filter->nvalues >= 1);
		check_text(filter->name);
		initStringInfo(&list);
		for (int j = 0; j < filter->nvalues; j++)
		{
			require(filter->values[j][0] != '\0');
			check_text(filter->values[j]);
			if (j > 0)
				appendStringInfoChar(&list, ',');
			for (const char *c = filter->values[j]; *c != '\0'; c++)
				appendStringInfo(&list, *c == ',' || *c == '\\' ? "\\%c" : "%c", *c);
		}
		rest = list.data;
		for (int j = 0; j < filter->nvalues; j++)
		{
			char *value = palloc(strlen(rest) + 1);

			require(ValueListNext(&rest, value) == NULL && strcmp(value, filter->values[j]) == 0);
			require((rest == NULL) == (j == filter->nvalues - 1));
		}
	}
}

static void
check_query(const MetricsQuery *query)
{
	require(query->event_name == NULL || query->event_name[0] != '\0');
	require(!query->has_from || TIMESTAMP_NOT_FINITE(query->from) == 0);
	require(!query->has_to || IS_VALID_TIMESTAMP(query->to));
	check_filters(query);
}

static void
check_metrics(const Parameters *parameters)
{
	MetricsParameters request;

	MetricsParametersRead(&request, parameters->text.data, parameters->text.len);
	require(request.limit >= 0);
	check_query(&request.query);
	check_page(&request);
}

static void
check_series(const Parameters *parameters)
{
	SeriesParameters request;

	SeriesParametersRead(&request, parameters->text.data, parameters->text.len);
	require(request.query.step != NULL && request.query.step[0] != '\0');
	require(request.query.top >= 1 && request.query.top <= MAX_SERIES_TOP);
	check_query(&request.query.metrics);
}

static void
check_overview(const Parameters *parameters)
{
	OverviewParameters request;

	OverviewParametersRead(&request, parameters->text.data, parameters->text.len);
	require(request.query.step != NULL && request.query.step[0] != '\0');
	require(request.top >= 1 && request.top <= MAX_CARD_ROWS);
	require(request.cards == NULL || request.cards[0] != '\0');
	require(request.compare.nfilters == 0);
	check_query(&request.query.metrics);
	check_query(&request.compare);
}

static void
check_event_names(const Parameters *parameters)
{
	EventNamesParameters request;

	EventNamesParametersRead(&request, parameters->text.data, parameters->text.len);
	check_query(&request.query);
}

static void
check_live(const Parameters *parameters)
{
	LiveParameters request;

	LiveParametersRead(&request, parameters->text.data, parameters->text.len);
	require(request.top >= 1 && request.top <= MAX_LIVE_TOP);
	require(request.site == NULL || request.site[0] != '\0');
}

static void
check_stats(const Parameters *parameters)
{
	StatsParameters request;

	StatsParametersRead(&request, parameters->text.data, parameters->text.len);
	require(request.limit >= 1);
	require(request.site_id == NULL || request.site_id[0] != '\0');
	require(request.date >= date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE &&
			request.date <= date2j(9999, 12, 31) - POSTGRES_EPOCH_JDATE);
}

/* By the first byte of an input */
static void (*const routes[])(const Parameters *parameters) = {
	check_stats, check_metrics, check_series, check_event_names, check_live, check_overview,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Parameters parameters;

	if (size < 1)
		return 0;
	memset(&parameters, 0, sizeof(parameters));
	initStringInfo(&parameters.text);
	if (!add_parameters(&parameters, (const char *) data + 1, size - 1))
	{
		require(parameters.error != NULL);
		check_text(parameters.name);
	}
	else if (sigsetjmp(on_error, 0) == 0)
	{
		/* in an allocation of just that size, so that reading beyond it is noticed */
		char *text =
			memcpy(palloc(Max(parameters.text.len, 1)), parameters.text.data, parameters.text.len);

		parameters.text.data = text;
		routes[data[0] % lengthof(routes)](&parameters);
	}
	else
		require(error_code == ERRCODE_INVALID_PARAMETER_VALUE && message[0] != '\0');
	arena_reset();
	return 0;
}
