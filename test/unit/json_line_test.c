/*
 * json_line_test.c
 *
 * Values of events as JSON: escapes, times at the edges of PostgreSQL's range, UUIDs.
 */
#include "postgres_fe.h"

#include <limits.h>
#include <time.h>

#include "base/unix_time.h"
#include "event/json_line.h"
#include "tap.h"

static StringInfoData line;

static void
is_text(const char *text, size_t len, const char *expected)
{
	resetStringInfo(&line);
	JsonLineText(&line, (Slice){text, len});
	ok(strcmp(line.data, expected) == 0, "%s (got %s)", expected, line.data);
}

static void
is_time(TimestampTz ts, const char *expected)
{
	resetStringInfo(&line);
	JsonLineTime(&line, ts);
	ok(strcmp(line.data, expected) == 0, "%s (got %s)", expected, line.data);
}

/*
 * Check that each control character is escaped, and no other byte
 */
static void
test_all_bytes(void)
{
	int wrong = 0;

	for (int c = 0; c < 256; c++)
	{
		char text = (char) c;
		bool escaped = c < ' ' || c == '"' || c == '\\';

		resetStringInfo(&line);
		JsonLineText(&line, (Slice){&text, 1});
		wrong += escaped != (line.len > 3);
		wrong += escaped != (line.data[1] == '\\');
	}
	ok(wrong == 0, "control characters, quotes and backslashes are escaped, and nothing else");
}

/*
 * Compare a time of each day from 1600 to 2500 with the C library
 */
static void
test_all_days(void)
{
	int wrong = 0;

	for (int64 day = -135140; day < 193600; day++)
	{
		time_t seconds = day * 86400 + (day & 0xFFFF);
		struct tm expected;
		CalendarTime got;

		gmtime_r(&seconds, &expected);
		CalendarTimeSplit(seconds * USECS_PER_SEC - UNIX_EPOCH_OFFSET + 7, &got);
		wrong += got.year != expected.tm_year + 1900 || got.month != expected.tm_mon + 1 ||
				 got.day != expected.tm_mday || got.hour != expected.tm_hour ||
				 got.minute != expected.tm_min || got.second != expected.tm_sec ||
				 got.microsecond != 7;
	}
	ok(wrong == 0, "each day from 1600 to 2500 is what the C library says");
}

int
main(void)
{
	uint8 uuid[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
					  0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff};

	initStringInfo(&line);
	is_text(NULL, 0, "null");
	is_text("", 0, "\"\"");
	is_text("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	is_text("\n\r\t\b\f\x01\x1f", 7, "\"\\n\\r\\t\\b\\f\\u0001\\u001f\"");
	is_text("a\0b", 3, "\"a\\u0000b\"");
	is_text("\xc3\xa9\xf0\x9f\x98\x80\x7f", 7, "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"");
	test_all_bytes();

	is_time(0, "\"2000-01-01T00:00:00.000000Z\"");
	is_time(-1, "\"1999-12-31T23:59:59.999999Z\"");
	is_time(-UNIX_EPOCH_OFFSET, "\"1970-01-01T00:00:00.000000Z\"");
	is_time(DT_NOEND, "\"infinity\"");
	is_time(DT_NOBEGIN, "\"-infinity\"");
	is_time(MIN_TIMESTAMP, "\"4714-11-24T00:00:00.000000Z BC\"");
	is_time(END_TIMESTAMP - 1, "\"294276-12-31T23:59:59.999999Z\"");
	is_time(INT64CONST(252455615999999999), "\"9999-12-31T23:59:59.999999Z\"");
	is_time(INT64CONST(-63082281600000000) - 1, "\"0001-12-31T23:59:59.999999Z BC\"");
	test_all_days();

	resetStringInfo(&line);
	JsonLineUuid(&line, uuid);
	ok(strcmp(line.data, "\"01234567-89ab-cdef-0011-2233445566ff\"") == 0, "a UUID");
	resetStringInfo(&line);
	JsonLineUuid(&line, NULL);
	ok(strcmp(line.data, "null") == 0, "no UUID");
	resetStringInfo(&line);
	JsonLineNumber(&line, PG_UINT64_MAX);
	JsonLineNumber(&line, 0);
	ok(strcmp(line.data, "184467440737095516150") == 0, "the greatest number and the least");
	return tap_done();
}
