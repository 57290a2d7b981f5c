/*
 * event_line.c
 *
 * Called for each event, inside the callbacks of logical decoding.
 *
 * Why base64 for Kafka: the proxies would parse a value that is JSON and write it again, and
 * Confluent's changes numbers by that. A key in JSON form would also have quotes in Kafka, so
 * that it would come to other partitions than the same key of another producer.
 */
#include "stream/sink/event_line.h"

#include "common/base64.h"

#include "event/json_line.h"

/*
 * The timeline on which an event was committed; now for one that is read from the table
 */
static uint32
timeline_of(const Stream *stream, const StreamEvent *event)
{
	int i = 0;

	Assert(stream->ntimelines > 0);
	if (!OidIsValid(event->partition))
		while (i < stream->ntimelines - 1 && event->lsn < stream->timelines[i].begin)
			i++;
	return stream->timelines[i].id;
}

static void
append_id(StringInfo line, const Stream *stream, const StreamEvent *event)
{
	if (event->event_key != NULL)
	{
		JsonLineUuid(line, event->event_key);
		return;
	}
	appendStringInfo(line, "\"%s-%u-", stream->epoch, timeline_of(stream, event));
	if (OidIsValid(event->partition))
		appendStringInfo(line, "p%u-%llu-", event->partition, (unsigned long long) event->lsn);
	else
		appendStringInfo(line, "%llX-", (unsigned long long) event->lsn);
	JsonLineNumber(line, event->n);
	appendStringInfoChar(line, '"');
}

static void
append_tags(StringInfo line, const StreamEvent *event)
{
	if (!event->has_tags)
	{
		appendBinaryStringInfo(line, "null", 4);
		return;
	}
	appendStringInfoChar(line, '[');
	for (int i = 0; i < event->ntags; i++)
	{
		if (i > 0)
			appendStringInfoChar(line, ',');
		JsonLineText(line, event->tags[i]);
	}
	appendStringInfoChar(line, ']');
}

static void
append_value(StringInfo line, const StreamEvent *event, StreamColumn column)
{
	switch (column)
	{
		case COLUMN_EVENT_NAME:
			JsonLineText(line, event->event_name);
			break;
		case COLUMN_CHANNEL:
			JsonLineText(line, event->channel);
			break;
		case COLUMN_USER_ID:
			JsonLineText(line, event->user_id);
			break;
		case COLUMN_TS:
			JsonLineTime(line, event->ts);
			break;
		case COLUMN_CAMPAIGN_ID:
			JsonLineText(line, event->campaign_id);
			break;
		case COLUMN_SITE_ID:
			JsonLineText(line, event->site_id);
			break;
		case COLUMN_PATH:
			JsonLineText(line, event->path);
			break;
		case COLUMN_TAGS:
			append_tags(line, event);
			break;
		case COLUMN_METADATA:
			/* JSON already, of one line as jsonb is written */
			if (event->metadata.data == NULL)
				appendBinaryStringInfo(line, "null", 4);
			else
				appendBinaryStringInfo(line, event->metadata.data, (int) event->metadata.len);
			break;
		case COLUMN_EVENT_KEY:
			JsonLineUuid(line, event->event_key);
			break;
		case COLUMN_INGESTED_AT:
			JsonLineTime(line, event->ingested_at);
			break;
	}
}

void
EventLineJson(StringInfo line, const Stream *stream, const StreamEvent *event)
{
	appendStringInfoString(line, "{\"id\":");
	append_id(line, stream, event);
	for (int column = 0; column < NUM_STREAM_COLUMNS; column++)
	{
		if (!StreamCarries(stream, column))
			continue;
		appendStringInfo(line, ",\"%s\":", StreamColumnNames[column]);
		append_value(line, event, column);
	}
	appendStringInfoChar(line, '}');
}

static void
append_base64(StringInfo line, const char *data, size_t len)
{
	int room = pg_b64_enc_len((int) len);
	int written;

	enlargeStringInfo(line, room);
	written = pg_b64_encode((const void *) data, (int) len, line->data + line->len, room);
	/* it fails only without room */
	Assert(written >= 0);
	line->len += written;
	line->data[line->len] = '\0';
}

void
EventLineRecord(StringInfo line, const Stream *stream, const StreamEvent *event, StringInfo value)
{
	resetStringInfo(value);
	EventLineJson(value, stream, event);
	appendStringInfoChar(line, '{');
	if (event->user_id.data != NULL && StreamCarries(stream, COLUMN_USER_ID))
	{
		appendStringInfoString(line, "\"key\":\"");
		append_base64(line, event->user_id.data, event->user_id.len);
		appendStringInfoString(line, "\",");
	}
	appendStringInfoString(line, "\"value\":\"");
	append_base64(line, value->data, value->len);
	appendStringInfoString(line, "\"}");
}
