/*
 * clock.c
 *
 * For LD_PRELOAD: puts a PostgreSQL server's clock ahead of the machine's, so that
 * a test lets hours and days pass. The file that FI_CLOCK names holds one int64,
 * the microseconds to add; who writes it moves the clock of every process at
 * once. Timers and sleeps keep the machine's time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *ahead;

__attribute__((constructor)) static void
open_clock(void)
{
	const char *path = getenv("FI_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		abort();
	map = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		abort();
	ahead = map;
	close(fd);
}

int
gettimeofday(struct timeval *restrict result, void *restrict zone)
{
	struct timespec real;
	int64_t now;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &real) != 0)
		return -1;
	now = (int64_t) real.tv_sec * 1000000 + real.tv_nsec / 1000 + *ahead;
	result->tv_sec = now / 1000000;
	result->tv_usec = now % 1000000;
	return 0;
}
