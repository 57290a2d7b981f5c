/*
 * histogram.h
 *
 * Histograms in shared memory: the number of values in each of a few fixed buckets, and
 * the sum of all values. Any number of processes may add and read at the same time without
 * a lock. A reader may see a value in its bucket but not yet in the sum.
 *
 * Values are whole numbers. Durations are in microseconds (see clock.h).
 */
#ifndef FAST_INGEST_HISTOGRAM_H
#define FAST_INGEST_HISTOGRAM_H

#include "port/atomics.h"

#define HISTOGRAM_BOUNDS 16

/* The largest value of each bucket; one more bucket takes the rest. */
extern const int64 DurationBounds[HISTOGRAM_BOUNDS];
extern const int64 EventBounds[HISTOGRAM_BOUNDS];

typedef struct
{
	pg_atomic_uint64 buckets[HISTOGRAM_BOUNDS + 1];
	pg_atomic_uint64 sum;
} Histogram;

/* Initialize a histogram in shared memory. */
extern void HistogramInit(Histogram *histogram);

/* Add a value; a negative one counts as 0. bounds must be the same in each call. */
extern void HistogramAdd(Histogram *histogram, const int64 *bounds, int64 value);

#endif
