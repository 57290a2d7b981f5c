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

/* A sum of histograms, in memory of one process. Set it to zeros before the first is added. */
typedef struct
{
	uint64 buckets[HISTOGRAM_BOUNDS + 1];
	uint64 sum;
} HistogramTotal;

/* Initialize a histogram in shared memory. */
extern void HistogramInit(Histogram *histogram);

/* Add a value; a negative one counts as 0. bounds must be the same in each call. */
extern void HistogramAdd(Histogram *histogram, const int64 *bounds, int64 value);

/* Add a histogram, which other processes may change, to a sum. */
extern void HistogramTotalAdd(HistogramTotal *total, Histogram *histogram);

/* How many values it has. */
extern uint64 HistogramTotalCount(const HistogramTotal *total);

/*
 * The value that a share of all values does not exceed, as if the values of a bucket were spread
 * evenly over it; the last bound if it is in the bucket that takes the rest. There must be a
 * value, and bounds must be those of HistogramAdd.
 */
extern double HistogramTotalQuantile(const HistogramTotal *total, const int64 *bounds,
									 double share);

#endif
