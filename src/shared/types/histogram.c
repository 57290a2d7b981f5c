/*
 * histogram.c
 *
 * Sorting values into buckets; see histogram.h.
 */
#include "postgres.h"

#include "shared/types/histogram.h"

/* from half a millisecond to a minute */
const int64 DurationBounds[HISTOGRAM_BOUNDS] = {
	500,	1000,	2500,	 5000,	  10000,   25000,	 50000,	   100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000};

const int64 EventBounds[HISTOGRAM_BOUNDS] = {1,	  2,	5,	  10,	20,	   50,	  100,	 200,
											 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

void
HistogramInit(Histogram *histogram)
{
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		pg_atomic_init_u64(&histogram->buckets[i], 0);
	pg_atomic_init_u64(&histogram->sum, 0);
}

void
HistogramAdd(Histogram *histogram, const int64 *bounds, int64 value)
{
	int bucket = 0;

	value = Max(value, 0);
	while (bucket < HISTOGRAM_BOUNDS && value > bounds[bucket])
		bucket++;
	pg_atomic_fetch_add_u64(&histogram->buckets[bucket], 1);
	pg_atomic_fetch_add_u64(&histogram->sum, value);
}
