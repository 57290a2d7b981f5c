/*
 * minute_times_fuzz.c
 *
 * Fuzzes the reading of times of a minute. What must hold for any bytes: nothing beyond them is
 * read; what is read is in order and within the minute; and if nothing is damaged, it is read
 * again as it is once it has been written.
 */
#include "postgres_fe.h"

#include "rollup/sets/minute_times.h"

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/*
 * Read all times of some bytes; NULL if they are damaged
 */
static MinuteTime *
read_times(const void *bytes, size_t size, uint32 *n)
{
	MinuteTimesReader reader;
	MinuteTime *times;
	uint32 i = 0;

	*n = MinuteTimesOpen(&reader, bytes, size);
	require(*n <= size / 2);
	times = malloc((*n + 1) * sizeof(MinuteTime));
	for (; MinuteTimesNext(&reader, &times[i]); i++)
	{
		require(i < *n && times[i].offset < USECS_PER_MINUTE);
		require(i == 0 || times[i].offset >= times[i - 1].offset);
	}
	require(reader.damaged || i == *n);
	if (!reader.damaged)
		return times;
	free(times);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* in a block of exactly that size, so that the sanitizer sees reads beyond the end */
	uint8 *bytes = malloc(Max(size, 1));
	MinuteTime *times;
	uint32 n;

	memcpy(bytes, data, size);
	times = read_times(bytes, size, &n);
	if (times != NULL)
	{
		uint8 *written = malloc(MinuteTimesBound(n));
		uint32 again;
		size_t len = MinuteTimesWrite(times, n, written);
		MinuteTime *same = read_times(written, len, &again);

		require(len <= MinuteTimesBound(n) && same != NULL && again == n);
		require(memcmp(times, same, n * sizeof(MinuteTime)) == 0);
		free(written);
		free(same);
		free(times);
	}
	free(bytes);
	return 0;
}
