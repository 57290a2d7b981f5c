/*
 * timestamp_test.c
 *
 * What clients may write as a time, and what it means in microseconds.
 */
#include "event/timestamp.h"

#include <string.h>
#include <time.h>

#include "tap.h"

static void
number(const char *text, int64_t expected)
{
	int64_t time = -1;

	ok(TimestampFromNumber(text, strlen(text), &time) && time == expected, "%s is %lld (got %lld)",
	   text, (long long) expected, (long long) time);
}

static void
date_time(const char *text, int64_t expected)
{
	int64_t time = -1;

	ok(TimestampFromRfc3339(text, strlen(text), &time) && time == expected, "%s is %lld (got %lld)",
	   text, (long long) expected, (long long) time);
}

static void
no_number(const char *text)
{
	int64_t time;

	ok(!TimestampFromNumber(text, strlen(text), &time), "%s is refused", text);
}

static void
no_date_time(const char *text)
{
	int64_t time;

	ok(!TimestampFromRfc3339(text, strlen(text), &time), "\"%s\" is refused", text);
}

/*
 * Every day of four centuries, against the C library
 */
static void
all_days(void)
{
	bool good = true;

	for (int64_t day = -141427; day < 4500; day++)
	{
		time_t seconds = (time_t) (day * 86400);
		struct tm tm;
		char text[64];
		int64_t time;

		gmtime_r(&seconds, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT00:00:00Z", &tm);
		good &=
			TimestampFromRfc3339(text, strlen(text), &time) && time == seconds * INT64_C(1000000);
	}
	ok(good, "every day from 1582 on is where the C library has it");
}

int
main(void)
{
	number("1723475612", INT64_C(1723475612000000));
	number("1723475612345", INT64_C(1723475612345000));
	number("1723475612.25", INT64_C(1723475612250000));
	number("1723475612.1234567", INT64_C(1723475612123456));
	number("1.723475612e9", INT64_C(1723475612000000));
	number("0", 0);
	number("-5", INT64_C(-5000000));
	number("100000000000", INT64_C(100000000000000000));
	number("100000000001", INT64_C(100000000001000));
	no_number("1e300");
	no_number("253402300800.5");
	no_number("99999999999999999999999999999");

	date_time("2015-05-17T10:05:03Z", INT64_C(1431857103000000));
	date_time("2015-05-17t10:05:03.25z", INT64_C(1431857103250000));
	date_time("2015-05-17T15:50:03+05:45", INT64_C(1431857103000000));
	date_time("2015-05-17 07:05:03-03:00", INT64_C(1431857103000000));
	date_time("2016-02-29T00:00:00Z", INT64_C(1456704000000000));
	date_time("2016-12-31T23:59:60Z", INT64_C(1483228800000000));
	no_date_time("2015-02-29T00:00:00Z");
	no_date_time("2015-05-17");
	no_date_time("2015-05-17T10:05:03");
	no_date_time("2015-05-17T10:05:03.Z");
	no_date_time("2015-05-17T24:00:00Z");
	no_date_time("2015-13-17T10:05:03Z");
	no_date_time("2015-05-17T10:05:03+0545");
	no_date_time("2015-05-17T10:05:03Zjunk");
	no_date_time("yesterday");
	no_date_time("");
	all_days();
	return tap_done();
}
