/*
 * minute_times_test.c
 *
 * Times of a minute are read as they were written, in as few bytes as their unit allows, and
 * bytes that are no times are noticed.
 */
#include "postgres_fe.h"

#include "rollup/sets/minute_times.h"
#include "tap.h"

#define MAX_TIMES 2000

static uint8 bytes[16 + MAX_TIMES * 9];
static MinuteTime times[MAX_TIMES];

/* Numbers that are the same in every run. */
static uint32
draw(uint32 below)
{
	static uint64 state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32) (state >> 16) % below;
}

/*
 * Draw n times in a unit, of users below a number
 */
static void
draw_times(uint32 n, uint32 unit, uint32 users)
{
	for (uint32 i = 0; i < n; i++)
	{
		times[i].offset = draw(60000000 / unit) * unit;
		times[i].user = draw(4) == 0 ? MINUTE_NO_USER : draw(users);
	}
	MinuteTimesSort(times, n);
}

/*
 * Are bytes read as the first n times?
 */
static bool
reads_as(size_t size, uint32 n)
{
	MinuteTimesReader reader;
	MinuteTime time;
	uint32 i = 0;

	if (MinuteTimesOpen(&reader, bytes, size) != n)
		return false;
	for (; MinuteTimesNext(&reader, &time); i++)
		if (i >= n || time.offset != times[i].offset || time.user != times[i].user)
			return false;
	return i == n && !reader.damaged;
}

/*
 * Are bytes refused, at the beginning or later?
 */
static bool
are_refused(size_t size)
{
	MinuteTimesReader reader;
	MinuteTime time;

	(void) MinuteTimesOpen(&reader, bytes, size);
	while (MinuteTimesNext(&reader, &time))
		;
	return reader.damaged;
}

static void
test_random(void)
{
	static const uint32 units[] = {1, 1000, 1000000};
	int wrong = 0;
	int beyond = 0;

	for (int round = 0; round < 3000; round++)
	{
		uint32 n = draw(round % 10 == 0 ? MAX_TIMES : 20);
		size_t size;

		draw_times(n, units[round % 3], round % 2 == 0 ? 100 : PG_UINT32_MAX);
		size = MinuteTimesWrite(times, n, bytes);
		beyond += size > MinuteTimesBound(n);
		wrong += !reads_as(size, n);
	}
	ok(wrong == 0, "random times are read as they were written (%d are not)", wrong);
	ok(beyond == 0, "none takes more bytes than the bound");
}

static void
test_sizes(void)
{
	draw_times(1000, 1000000, 100);
	ok(MinuteTimesWrite(times, 1000, bytes) == 2 + 2 * 1000, "whole seconds take 1 byte");
	draw_times(1000, 1000, 100);
	ok(MinuteTimesWrite(times, 1000, bytes) <= 2 + 2.8 * 1000,
	   "milliseconds of 1,000 events take 1 or 2 bytes");
	draw_times(1000, 1, 100);
	ok(MinuteTimesWrite(times, 1000, bytes) <= 2 + 4 * 1000,
	   "microseconds of 1,000 events take 3 bytes");
	ok(MinuteTimesWrite(times, 0, bytes) == 1 && reads_as(1, 0), "no times take a byte");
}

static void
test_ends(void)
{
	times[0] = (MinuteTime){0, 0};
	times[1] = (MinuteTime){0, MINUTE_NO_USER - 1};
	times[2] = (MinuteTime){59999999, MINUTE_NO_USER};
	times[3] = (MinuteTime){59999999, 7};
	ok(reads_as(MinuteTimesWrite(times, 4, bytes), 4), "the ends of the minute and of users");
}

static void
test_damage(void)
{
	int unnoticed = 0;
	size_t size;

	draw_times(50, 1, 1000);
	size = MinuteTimesWrite(times, 50, bytes);
	for (size_t shorter = 0; shorter < size; shorter++)
		unnoticed += !are_refused(shorter);
	bytes[size] = 0;
	unnoticed += !are_refused(size + 1);
	ok(unnoticed == 0, "bytes too few and too many are noticed");
	memcpy(bytes, "\x07\x00\x00", 3);
	ok(are_refused(3), "an unknown unit");
	memcpy(bytes, "\x06\x3c\x00", 3);
	ok(are_refused(3), "a time after the end of the minute");
	memcpy(bytes, "\x06\xff\xff\xff\xff\x10\x00", 7);
	ok(are_refused(7), "a number of more than 32 bits");
	memcpy(bytes, "\x06\xff\xff\xff\xff\xff\xff\x00\x00", 9);
	ok(are_refused(9), "a number of more than 5 bytes");
	memcpy(bytes, "\xfe\xff\xff\xff\x0f\x00\x00", 7);
	ok(are_refused(7), "more events than bytes");
}

int
main(void)
{
	test_random();
	test_sizes();
	test_ends();
	test_damage();
	return tap_done();
}
