/*
 * minute_times.c
 *
 * Writes the times of a minute, and begins to read them.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "rollup/sets/minute_times.h"

/* Bytes of the largest number, and of the largest offset. */
#define NUMBER_BYTES 5
#define OFFSET_BYTES 4

/* Microseconds of each unit. */
static const uint32 units[] = {1, 1000, 1000000};

size_t
MinuteTimesBound(uint32 n)
{
	return NUMBER_BYTES + (size_t) n * (OFFSET_BYTES + NUMBER_BYTES);
}

static uint8 *
write_number(uint8 *next, uint32 number)
{
	for (; number >= 0x80; number >>= 7)
		*next++ = (uint8) (number | 0x80);
	*next++ = (uint8) number;
	return next;
}

/*
 * The number of the largest unit in which all times are whole
 */
static int
choose_unit(const MinuteTime *times, uint32 n)
{
	int unit = lengthof(units) - 1;

	for (uint32 i = 0; i < n; i++)
		while (times[i].offset % units[unit] != 0)
			if (--unit == 0)
				return 0;
	return unit;
}

size_t
MinuteTimesWrite(const MinuteTime *times, uint32 n, uint8 *bytes)
{
	int unit = choose_unit(times, n);
	uint8 *next = write_number(bytes, n * 4 + unit);
	uint32 before = 0;

	Assert(n <= MINUTE_TIMES_MAX);
	for (uint32 i = 0; i < n; i++)
	{
		Assert(times[i].offset >= before && times[i].offset < USECS_PER_MINUTE);
		next = write_number(next, (times[i].offset - before) / units[unit]);
		next = write_number(next, times[i].user + 1); /* MINUTE_NO_USER becomes 0 */
		before = times[i].offset;
	}
	return next - bytes;
}

static int
compare_offsets(const void *a, const void *b)
{
	uint32 left = ((const MinuteTime *) a)->offset;
	uint32 right = ((const MinuteTime *) b)->offset;

	return (left > right) - (left < right);
}

void
MinuteTimesSort(MinuteTime *times, uint32 n)
{
	if (n > 1)
		qsort(times, n, sizeof(MinuteTime), compare_offsets);
}

uint32
MinuteTimesOpen(MinuteTimesReader *reader, const void *bytes, size_t size)
{
	uint32 head;

	memset(reader, 0, sizeof(*reader));
	reader->next = bytes;
	reader->end = reader->next + size;
	head = MinuteTimesNumber(reader);
	/* an event takes two bytes or more */
	if (head % 4 >= lengthof(units) || head / 4 > MINUTE_TIMES_MAX ||
		head / 4 > (size_t) (reader->end - reader->next) / 2 ||
		(head / 4 == 0 && reader->next != reader->end))
		reader->damaged = true;
	if (reader->damaged)
		return 0;
	reader->unit = units[head % 4];
	return reader->left = head / 4;
}
