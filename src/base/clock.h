/*
 * clock.h
 *
 * Time for deadlines and waits, in microseconds. It never jumps, even when somebody sets the
 * machine's clock, and is the same in all processes. What people and tables read is
 * TimestampTz.
 */
#ifndef FAST_INGEST_CLOCK_H
#define FAST_INGEST_CLOCK_H

#include "portability/instr_time.h"

/* The present moment. It has no meaning but its distance from others. */
static inline int64
MonotonicNow(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* The moment that many milliseconds after another. */
static inline int64
MonotonicAfter(int64 moment, int64 milliseconds)
{
	return moment + milliseconds * 1000;
}

/* Milliseconds until a moment, rounded up; 0 when it has passed. */
static inline long
MonotonicLeft(int64 now, int64 moment)
{
	return moment > now ? (long) ((moment - now + 999) / 1000) : 0;
}

#endif
