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
is_time(const char *text, int64_t expected)
{
	int64_t time = -1;
	const char *wrong;

	ok(TimestampRead(text, strlen(text), &time, &wrong) && time == expected && wrong == NULL,
	   "\"%.40s\" is %lld (got %lld)", text, (long long) expected, (long long) time);
}

/*
 * Check that a text is refused with a message that contains a word
 */
static void
is_refused(const char *text, const char *word)
{
	int64_t time;
	const char *wrong = "";

	ok(!TimestampRead(text, strlen(text), &time, &wrong) && strstr(wrong, word) != NULL,
	   "\"%.40s\" %s", text, wrong);
}

/*
 * Compare each day of four centuries with the C library
 */
static void
test_all_days(void)
{
	bool good = true;

	for (int64_t day = -141427; day < 4500; day++)
	{
		time_t seconds = (time_t) (day * 86400);
		struct tm tm;
		char text[64];
		int64_t time;

		const char *wrong;

		gmtime_r(&seconds, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT00:00:00Z", &tm);
		good &=
			TimestampRead(text, strlen(text), &time, &wrong) && time == seconds * INT64_C(1000000);
	}
	ok(good, "every day from 1582 on is where the C library has it");
}

/*
 * Read the same digits as seconds, milliseconds, microseconds and nanoseconds, with the
 * point at each place, without and with an exponent
 */
static void
test_all_points(void)
{
	static const char digits[] = "0000000000000000000000000"
								 "1723475612123456789"
								 "0000000000000000000000000";
	bool good = true;

	for (int unit = 10; unit <= 19; unit += 3)
		for (int exponent = -25; exponent <= 25; exponent++)
		{
			char text[128];
			int point = 25 + unit - exponent; /* digits before the point */
			int64_t time;
			const char *wrong;

			snprintf(text, sizeof(text), "%.*s.%.*se%+d", point, digits,
					 (int) sizeof(digits) - 1 - point, digits + point, exponent);
			good &= TimestampRead(text, strlen(text), &time, &wrong) &&
					time == INT64_C(1723475612123456);
		}
	ok(good, "a time is the same wherever its point is");
}

/*
 * Read a fraction of a million digits, more than any number type holds
 */
static void
test_long_texts(void)
{
	static char text[1000100];
	char *end = stpcpy(text, "1723475612.25");

	memset(end, '9', 1000000);
	is_time(text, INT64_C(1723475612259999));
	strcpy(end + 1000000, "e3");
	is_time(text, INT64_C(1723475612259999));
	end = stpcpy(text, "2024-08-12T15:13:32.25");
	memset(end, '9', 1000000);
	strcpy(end + 1000000, "Z");
	is_time(text, INT64_C(1723475612259999));
	memset(text, '0', 1000000);
	strcpy(text + 1000000, "1723475612");
	is_time(text, INT64_C(1723475612000000));
	memset(text, '1', 1000000);
	text[1000000] = '\0';
	is_refused(text, "too large");
}

int
main(void)
{
	/* Unix times */
	is_time("1723475612", INT64_C(1723475612000000));
	is_time("+1723475612", INT64_C(1723475612000000));
	is_time("001723475612", INT64_C(1723475612000000));
	is_time(" 1723475612\t", INT64_C(1723475612000000));
	is_time("1723475612.25", INT64_C(1723475612250000));
	is_time("1723475612.", INT64_C(1723475612000000));
	is_time(".5", INT64_C(500000));
	is_time("0.000001", INT64_C(1));
	is_time("1723475612.1234567", INT64_C(1723475612123456));
	is_time("1723475612.999999999", INT64_C(1723475612999999));
	is_time("1723475612.000000999", INT64_C(1723475612000000));
	is_time("1.723475612e9", INT64_C(1723475612000000));
	is_time("1.723475612123E+12", INT64_C(1723475612123000));
	is_time("17234756120000e-4", INT64_C(1723475612000000));
	is_time("1723475612345", INT64_C(1723475612345000));
	is_time("1723475612345.6", INT64_C(1723475612345600));
	is_time("1723475612345.0", INT64_C(1723475612345000));
	is_time("1723475612345678", INT64_C(1723475612345678));
	is_time("1723475612345678.9", INT64_C(1723475612345678));
	is_time("1723475612345678912", INT64_C(1723475612345678));
	is_time("9007199254.740993", INT64_C(9007199254740993));
	is_time("0", 0);
	is_time("-0.0e5", 0);
	is_time("0e99999999999999999999", 0);
	is_time("-5", INT64_C(-5000000));
	is_time("-1.5", INT64_C(-1500000));
	is_time("1e-99999999999999999999", 0);
	is_time("99999999999", INT64_C(99999999999000000));
	is_time("100000000000", INT64_C(100000000000000000));
	is_time("100000000001", INT64_C(100000000001000));
	is_time("100000000000000", INT64_C(100000000000000000));
	is_time("100000000000001", INT64_C(100000000000001));
	is_time("100000000000000000", INT64_C(100000000000000000));
	is_time("100000000000000001", INT64_C(100000000000000));
	is_time("9999999999999999999", INT64_C(9999999999999999));
	test_all_points();
	is_refused("1e300", "too large");
	is_refused("1e99999999999999999999", "too large");
	is_refused("10000000000000000000", "too large");
	is_refused("99999999999999999999999999999", "too large");
	is_refused("1,723,475,612", "not a time");
	is_refused("1723475612s", "not a time");
	is_refused("1723475612345ms", "not a time");
	is_refused("1723475612,5", "not a time");
	is_refused("1e", "not a time");
	is_refused("1e5.5", "not a time");
	is_refused("1.2.3", "not a time");
	is_refused("-", "not a time");
	is_refused(".", "not a time");
	is_refused("--5", "not a time");
	is_refused("0x10", "not a time");
	is_refused("NaN", "not a time");
	is_refused("Infinity", "not a time");

	/* date-times */
	is_time("2015-05-17T10:05:03Z", INT64_C(1431857103000000));
	is_time("2015-05-17t10:05:03.25z", INT64_C(1431857103250000));
	is_time("2015-05-17T10:05:03,25Z", INT64_C(1431857103250000));
	is_time("2015-05-17T10:05:03.123456789Z", INT64_C(1431857103123456));
	is_time("2015-05-17T15:50:03+05:45", INT64_C(1431857103000000));
	is_time("2015-05-17T15:50:03+0545", INT64_C(1431857103000000));
	is_time("2015-05-17T10:05:03+0000", INT64_C(1431857103000000));
	is_time("2015-05-17T10:05:03+00", INT64_C(1431857103000000));
	is_time("2015-05-17T10:05:03-00:00", INT64_C(1431857103000000));
	is_time("2015-05-17T15:46:19+05:41:16", INT64_C(1431857103000000));
	is_time("2015-05-17 07:05:03-03:00", INT64_C(1431857103000000));
	is_time("2015-05-17 12:05:03 +0200", INT64_C(1431857103000000));
	is_time("2015-05-17 10:05:03 UTC", INT64_C(1431857103000000));
	is_time("2015-05-17 10:05:03gmt", INT64_C(1431857103000000));
	is_time("2015/05/17 10:05:03Z", INT64_C(1431857103000000));
	is_time("20150517T100503Z", INT64_C(1431857103000000));
	is_time("20150517T120503.0+02", INT64_C(1431857103000000));
	is_time("2015-05-17T10:05Z", INT64_C(1431857100000000));
	is_time("2015-05-17 10:05+00:00", INT64_C(1431857100000000));
	is_time(" 2015-05-17T10:05:03Z\t", INT64_C(1431857103000000));
	is_time("2016-02-29T00:00:00Z", INT64_C(1456704000000000));
	is_time("2016-12-31T23:59:60Z", INT64_C(1483228800000000));
	is_time("0001-01-01T00:00:00Z", INT64_C(-62135596800000000));
	is_time("9999-12-31T23:59:59Z", INT64_C(253402300799000000));
	is_refused("2015-02-29T00:00:00Z", "day that does not exist");
	is_refused("1900-02-29T00:00:00Z", "day that does not exist");
	is_refused("2015-05-32T00:00:00Z", "day");
	is_refused("2015-05-17", "no time of day");
	is_refused("2015-05-17T10:05:03", "no zone");
	is_refused("2015-05-17T10:05", "no zone");
	is_refused("2015-05-17T10:05:03 ", "no zone");
	is_refused("2015-05-17T10Z", "minute");
	is_refused("2015-05-17T10:05:03.Z", "fraction");
	is_refused("2015-05-17T10:05.5Z", "fraction of a minute");
	is_refused("20150517T1005,5Z", "fraction of a minute");
	is_refused("2015-05-17T24:00:00Z", "hour");
	is_refused("2015-05-17T10:60:00Z", "minute");
	is_refused("2015-05-17T10:05:61Z", "second");
	is_refused("2015-13-17T10:05:03Z", "month");
	is_refused("2015-00-17T10:05:03Z", "month");
	is_refused("0000-01-01T00:00:00Z", "year");
	is_refused("2015-0517T10:05:03Z", "day");
	is_refused("2015-05-17T10:05:03+5", "zone");
	is_refused("2015-05-17T10:05:03+24:00", "zone");
	is_refused("2015-05-17T10:05:03+05:60", "zone");
	is_refused("2015-05-17T10:05:03+05:4", "minutes");
	is_refused("2015-05-17T10:05:03+05:", "minutes");
	is_refused("2015-05-17T10:05:03+05:45:00:00", "behind the zone");
	is_refused("2015-05-17T10:05:03+05:45[Asia/Kathmandu]", "behind the zone");
	is_refused("2015-05-17T10:05:03+05 x", "behind the zone");
	is_refused("2015-05-17T10:05:03 EST", "zone");
	is_refused("2015-05-17T10:05:03Zjunk", "zone");
	is_refused("2015-05-17Z", "time of day");
	is_refused("17.05.2015 10:05", "not a time");
	is_refused("2015.05.17 10:05Z", "not a time");
	is_refused("12015-05-17T10:05:03Z", "not a time");
	is_refused("yesterday", "not a time");
	is_refused("", "empty");
	is_refused("  ", "empty");
	test_long_texts();
	test_all_days();
	return tap_done();
}
