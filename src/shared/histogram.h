/*
 * histogram.h
 *
 * Histograms in shared memory: how many values came into each of a few fixed
 * buckets, and their sum. Any number of processes may add and read at a time, without
 * a lock; who reads meanwhile may miss in one word what is there in another.
 *
 * Values are whole numbers, durations microseconds (see clock.h).
 */
#ifndef FAST_INGEST_HISTOGRAM_H
#define FAST_INGEST_HISTOGRAM_H

#include "port/atomics.h"

#define HISTOGRAM_BOUNDS 16

/* Up to which value, itself included, each bucket goes; one more takes the rest. */
extern const int64 DurationBounds[HISTOGRAM_BOUNDS];
extern const int64 EventBounds[HISTOGRAM_BOUNDS];

typedef struct
{
	pg_atomic_uint64 buckets[HISTOGRAM_BOUNDS + 1];
	pg_atomic_uint64 sum;
} Histogram;

extern void HistogramInit(Histogram *histogram);

/* Add a value; one below 0 is 0. Cannot fail. */
extern void HistogramAdd(Histogram *histogram, const int64 *bounds, int64 value);

#endif
