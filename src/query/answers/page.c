/*
 * page.c
 *
 * Finds the page of an answer, and writes and reads cursors. Links without a server.
 */
#include "postgres.h"

#include "query/answers/page.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "query/parameters/parameter_values.h"

/* Groups of a page if no limit is given. Hours and days have no such limit, nor has CSV. */
#define DEFAULT_KEYS 1000

void
AnswerPageAppendCursor(StringInfo cursor, const MetricsAnswer *answer, AnswerPage page)
{
	const MetricsRow *row = &answer->rows[page.end - 1];
	char *place;
	size_t len;

	if (!answer->by_key)
		place = psprintf(INT64_FORMAT " ", row->order);
	else if (row->group == NULL)
		place = psprintf(INT64_FORMAT, row->total_events);
	else
		place = psprintf(INT64_FORMAT " %s", row->total_events, row->group);
	len = strlen(place);

	enlargeStringInfo(cursor, (int) (2 * len));
	cursor->len += (int) hex_encode(place, len, cursor->data + cursor->len);
	cursor->data[cursor->len] = '\0';
}

/*
 * Read a cursor: a number, a space and a key. The key is empty for hours and days. A cursor
 * without a space names the group of the keys that are counted together: its key is NULL.
 */
static int64
read_cursor(const char *cursor, bool by_key, char **key)
{
	size_t len = strlen(cursor);
	char *place = palloc(len / 2 + 1);
	char *end = place;
	int64 number = 0;

	if (len % 2 == 0 && strspn(cursor, "0123456789abcdefABCDEF") == len)
	{
		place[hex_decode(cursor, len, place)] = '\0';
		errno = 0;
		number = strtoll(place, &end, 10);
	}
	if (end == place || errno != 0 || (*end != ' ' && *end != '\0') || strlen(place) != len / 2 ||
		(!by_key && strcmp(end, " ") != 0) ||
		pg_encoding_verifymbstr(PG_UTF8, place, (int) strlen(place)) != (int) strlen(place))
		ParameterRefuse("cursor", cursor, "next_cursor of an answer");
	*key = *end == '\0' ? NULL : end + 1;
	return number;
}

/*
 * Does a row come behind the place that a cursor names?
 */
static bool
is_behind(const MetricsRow *row, bool by_key, int64 number, const char *key)
{
	if (!by_key)
		return row->order > number;
	if (row->total_events != number || row->group == NULL)
		return row->total_events < number;
	return key == NULL || strcmp(row->group, key) > 0;
}

int
AnswerPageLimit(const MetricsParameters *parameters)
{
	return parameters->limit == 0 && !parameters->csv ? DEFAULT_KEYS : parameters->limit;
}

AnswerPage
AnswerPageFind(const MetricsParameters *parameters, const MetricsAnswer *answer)
{
	AnswerPage page = {0, answer->nrows};
	int limit = answer->by_key ? AnswerPageLimit(parameters) : parameters->limit;

	if (parameters->cursor != NULL)
	{
		char *key;
		int64 number = read_cursor(parameters->cursor, answer->by_key, &key);

		while (page.first < answer->nrows &&
			   !is_behind(&answer->rows[page.first], answer->by_key, number, key))
			page.first++;
	}
	if (limit > 0 && answer->nrows - page.first > limit)
		page.end = page.first + limit;
	return page;
}
