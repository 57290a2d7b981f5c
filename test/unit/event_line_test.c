/*
 * event_line_test.c
 *
 * Events as lines of JSON, and as records of Kafka's REST proxies.
 */
#include "postgres.h"

#include "common/base64.h"

#include "stream/sink/event_line.h"
#include "tap.h"

#define ALL_COLUMNS ((1u << NUM_STREAM_COLUMNS) - 1)

static const uint8 uuid[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static Slice
slice(const char *text)
{
	return (Slice){text, strlen(text)};
}

static void
is_line(const Stream *stream, const StreamEvent *event, const char *expected, const char *name)
{
	StringInfoData line;

	initStringInfo(&line);
	EventLineJson(&line, stream, event);
	ok(strcmp(line.data, expected) == 0, "%s: %s", name, line.data);
}

/*
 * Compare a record with one whose texts are given without base64; key NULL: there is none
 */
static void
is_record(const Stream *stream, const StreamEvent *event, const char *key, const char *value,
		  const char *name)
{
	StringInfoData line;
	StringInfoData buffer;
	char key_text[1024] = "";
	char value_text[1024] = "";
	char expected[4096];

	if (key != NULL)
		key_text[pg_b64_encode((const void *) key, strlen(key), key_text, 1023)] = '\0';
	value_text[pg_b64_encode((const void *) value, strlen(value), value_text, 1023)] = '\0';
	if (key != NULL)
		snprintf(expected, sizeof(expected), "{\"key\":\"%s\",\"value\":\"%s\"}", key_text,
				 value_text);
	else
		snprintf(expected, sizeof(expected), "{\"value\":\"%s\"}", value_text);
	initStringInfo(&line);
	initStringInfo(&buffer);
	appendStringInfoString(&buffer, "of the event before");
	EventLineRecord(&line, stream, event, &buffer);
	ok(strcmp(line.data, expected) == 0, "%s: %s", name, line.data);
}

int
main(void)
{
	Slice tags[] = {slice("a"), {NULL, 0}, slice("\"b\"")};
	StreamTimeline timelines[] = {{2, UINT64CONST(0x1600ABCDF0)}, {1, 0}};
	Stream stream = {
		.columns = ALL_COLUMNS, .epoch = "k3x", .timelines = timelines, .ntimelines = 2};
	StreamEvent event = {
		.lsn = UINT64CONST(0x1600ABCDEF),
		.n = 7,
		.event_name = slice("product_view"),
		.channel = slice("web"),
		.user_id = slice("u\n1"),
		.campaign_id = slice("c"),
		.site_id = slice("s"),
		.path = slice("/p"),
		.metadata = slice("{\"n\": 1.00, \"big\": 123456789012345678901234567890}"),
		.has_tags = true,
		.ntags = 3,
		.tags = tags,
		.ts = 1,
		.ingested_at = 0,
	};
	StreamEvent empty = {.lsn = 1, .n = 1, .event_name = slice("e"), .channel = slice("web")};

	is_line(&stream, &event,
			"{\"id\":\"k3x-1-1600ABCDEF-7\",\"event_name\":\"product_view\",\"channel\":\"web\","
			"\"user_id\":\"u\\n1\",\"ts\":\"2000-01-01T00:00:00.000001Z\",\"campaign_id\":\"c\","
			"\"site_id\":\"s\",\"path\":\"/p\",\"tags\":[\"a\",null,\"\\\"b\\\"\"],"
			"\"metadata\":{\"n\": 1.00, \"big\": 123456789012345678901234567890},"
			"\"event_key\":null,\"ingested_at\":\"2000-01-01T00:00:00.000000Z\"}",
			"an event with everything");
	is_line(&stream, &empty,
			"{\"id\":\"k3x-1-1-1\",\"event_name\":\"e\",\"channel\":\"web\",\"user_id\":null,"
			"\"ts\":\"2000-01-01T00:00:00.000000Z\",\"campaign_id\":null,\"site_id\":null,"
			"\"path\":null,\"tags\":null,\"metadata\":null,\"event_key\":null,"
			"\"ingested_at\":\"2000-01-01T00:00:00.000000Z\"}",
			"one with nothing");

	stream.columns = 1u << COLUMN_PATH;
	event.event_key = uuid;
	is_line(&stream, &event, "{\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"path\":\"/p\"}",
			"its key is the id");
	event.event_key = NULL;
	event.lsn++;
	is_line(&stream, &event, "{\"id\":\"k3x-2-1600ABCDF0-7\",\"path\":\"/p\"}",
			"an id names the timeline of the commit");
	event.lsn = 3;
	event.partition = 16400;
	is_line(&stream, &event, "{\"id\":\"k3x-2-p16400-3-7\",\"path\":\"/p\"}",
			"a backfill's id names the partition and the backfill");
	is_record(&stream, &event, NULL, "{\"id\":\"k3x-2-p16400-3-7\",\"path\":\"/p\"}",
			  "no key if the stream has no user_id");
	stream.columns = 1u << COLUMN_USER_ID;
	is_record(&stream, &event, "u\n1", "{\"id\":\"k3x-2-p16400-3-7\",\"user_id\":\"u\\n1\"}",
			  "the key is the user_id");
	is_record(&stream, &empty, NULL, "{\"id\":\"k3x-1-1-1\",\"user_id\":null}",
			  "no key without a user_id");
	empty.user_id = slice("");
	is_record(&stream, &empty, "", "{\"id\":\"k3x-1-1-1\",\"user_id\":\"\"}", "an empty key");
	return tap_done();
}
