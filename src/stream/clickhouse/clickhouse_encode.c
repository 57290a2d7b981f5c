/*
 * clickhouse_encode.c
 *
 * Events as rows of format JSONEachRow. A value that the table cannot hold as it is makes the
 * row a refused one: it says so in its beginning, post() does not send it, and halving makes
 * a dead letter of it. ClickHouse itself would change such values in silence: DateTime wraps
 * around, DateTime64 does at other years in other versions, and NULL in an Array(String)
 * becomes ''.
 *
 * tags that are NULL become [], as an Array cannot be Nullable.
 */
#include "postgres.h"

#include "stream/clickhouse/clickhouse_private.h"
#include "event/json_line.h"

#include "base/unix_time.h"

/* What every version's DateTime64(6) holds, and what DateTime of the old shape does. */
#define FIRST_YEAR 1900
#define LAST_YEAR 2299
#define FIRST_YEAR_OLD 1971
#define LAST_YEAR_OLD 2104

/*
 * Append "key": with the comma before it
 */
static void
append_key(StringInfo line, const char *key)
{
	if (line->data[line->len - 1] != '{')
		appendStringInfoChar(line, ',');
	appendStringInfoChar(line, '"');
	appendStringInfoString(line, key);
	appendBinaryStringInfo(line, "\":", 2);
}

/*
 * Append a time. False if the table cannot hold it.
 */
static bool
append_time(StringInfo line, const ClickHouseShape *shape, StreamColumn column, TimestampTz ts)
{
	const char *name = StreamColumnNames[column];
	CalendarTime time;

	if (TIMESTAMP_NOT_FINITE(ts))
	{
		append_key(line, name);
		JsonLineTime(line, ts);
		return false;
	}
	CalendarTimeSplit(ts, &time);
	if (time.year < (shape->microseconds ? FIRST_YEAR_OLD : FIRST_YEAR) ||
		time.year > (shape->microseconds ? LAST_YEAR_OLD : LAST_YEAR))
	{
		append_key(line, name);
		JsonLineTime(line, ts);
		return false;
	}
	if (shape->microseconds)
	{
		append_key(line, column == COLUMN_TS ? "ts_us" : "ingested_at_us");
		JsonLineNumber(line, ts + UNIX_EPOCH_OFFSET);
		return true;
	}
	append_key(line, name);
	appendStringInfoChar(line, '"');
	CalendarTimeAppend(line, &time, ' ');
	appendStringInfoChar(line, '"');
	return true;
}

/*
 * Append the tags. False if one is NULL, and the table cannot hold it.
 */
static bool
append_tags(StringInfo line, const ClickHouseShape *shape, const StreamEvent *event)
{
	bool holds = true;

	append_key(line, StreamColumnNames[COLUMN_TAGS]);
	appendStringInfoChar(line, '[');
	for (int i = 0; event->has_tags && i < event->ntags; i++)
	{
		if (i > 0)
			appendStringInfoChar(line, ',');
		JsonLineText(line, event->tags[i]);
		holds &= event->tags[i].data != NULL || shape->null_tags;
	}
	appendStringInfoChar(line, ']');
	return holds;
}

/*
 * Append the columns that the stream carries. Returns the reason why the table cannot hold
 * the row, or NULL.
 */
static const char *
append_columns(StringInfo line, const Stream *stream, const ClickHouseShape *shape,
			   const StreamEvent *event)
{
	const struct
	{
		StreamColumn column;
		Slice value;
	} texts[] = {{COLUMN_EVENT_NAME, event->event_name}, {COLUMN_CHANNEL, event->channel},
				 {COLUMN_USER_ID, event->user_id},		 {COLUMN_CAMPAIGN_ID, event->campaign_id},
				 {COLUMN_SITE_ID, event->site_id},		 {COLUMN_PATH, event->path},
				 {COLUMN_METADATA, event->metadata}};
	const char *fault = NULL;

	for (size_t i = 0; i < lengthof(texts); i++)
		if (StreamCarries(stream, texts[i].column))
		{
			append_key(line, StreamColumnNames[texts[i].column]);
			JsonLineText(line, texts[i].value);
		}
	if (StreamCarries(stream, COLUMN_EVENT_KEY))
	{
		append_key(line, StreamColumnNames[COLUMN_EVENT_KEY]);
		JsonLineUuid(line, event->event_key);
	}
	if (StreamCarries(stream, COLUMN_TAGS) && !append_tags(line, shape, event))
		fault = "tags has a NULL in it, and the column's type is not Array(Nullable(String))";
	if (StreamCarries(stream, COLUMN_INGESTED_AT) &&
		!append_time(line, shape, COLUMN_INGESTED_AT, event->ingested_at))
		fault = "ingested_at is not a time that the column can hold";
	if (StreamCarries(stream, COLUMN_TS) && !append_time(line, shape, COLUMN_TS, event->ts))
		fault = "ts is not a time that the column can hold";
	return fault;
}

void
ClickHouseEncode(Sink *base, const StreamEvent *event, StringInfo line)
{
	ClickHouse *sink = (ClickHouse *) base;
	int begin = line->len;
	const char *fault;

	sink->encoded = true;
	appendStringInfoChar(line, '{');
	fault = append_columns(line, base->stream, &sink->shape, event);
	if (fault != NULL)
	{
		/* rare: written once more, behind the reason */
		line->len = begin;
		appendStringInfo(line, CLICKHOUSE_REFUSED "%s\"", fault);
		append_columns(line, base->stream, &sink->shape, event);
	}
	append_key(line, "_lsn");
	JsonLineNumber(line, event->lsn);
	append_key(line, "_n");
	JsonLineNumber(line, event->n);
	appendStringInfoChar(line, '}');
}
