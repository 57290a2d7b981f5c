/*
 * page.c
 *
 * Finds the page that a request asks for.
 */
#include "postgres.h"

#include "query/page.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* Groups of one page where the request says nothing; hours and days have no such limit. */
#define DEFAULT_KEYS 1000

/*
 * Does the query go by time?
 */
static bool
groups_are_times(const MetricsQuery *query)
{
	return query->group_by != NULL &&
		   (strcmp(query->group_by, "hour") == 0 || strcmp(query->group_by, "day") == 0);
}

void
AnswerPageCursor(StringInfo cursor, const MetricsQuery *query, const MetricsRow *row)
{
	char *place;
	size_t len;

	if (groups_are_times(query))
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
 * Read a cursor: a number, and a key behind a space, which is empty for times; no
 * space is the keys that are counted together
 */
static int64
read_cursor(const MetricsQuery *query, const char *cursor, char **key)
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
		(groups_are_times(query) && strcmp(end, " ") != 0) ||
		pg_encoding_verifymbstr(PG_UTF8, place, (int) strlen(place)) != (int) strlen(place))
		RequestRefuse("cursor", cursor, "next_cursor of an answer");
	*key = *end == '\0' ? NULL : end + 1;
	return number;
}

/*
 * Does a row come behind the place of a cursor?
 */
static bool
is_behind(const MetricsQuery *query, const MetricsRow *row, int64 number, const char *key)
{
	if (groups_are_times(query))
		return row->order > number;
	if (row->total_events != number || row->group == NULL)
		return row->total_events < number;
	return key == NULL || strcmp(row->group, key) > 0;
}

AnswerPage
AnswerPageChoose(const MetricsRequest *request, const MetricsAnswer *answer)
{
	AnswerPage page = {0, answer->nrows};
	int limit = request->limit;

	if (request->cursor != NULL)
	{
		char *key;
		int64 number = read_cursor(&request->query, request->cursor, &key);

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
