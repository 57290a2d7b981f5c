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

void
HistogramTotalAdd(HistogramTotal *total, Histogram *histogram)
{
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		total->buckets[i] += pg_atomic_read_u64(&histogram->buckets[i]);
	total->sum += pg_atomic_read_u64(&histogram->sum);
}

uint64
HistogramTotalCount(const HistogramTotal *total)
{
	uint64 count = 0;

	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count += total->buckets[i];
	return count;
}

double
HistogramTotalQuantile(const HistogramTotal *total, const int64 *bounds, double share)
{
	double rank = share * HistogramTotalCount(total);
	double below = 0; /* values in the buckets before */

	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
	{
		double low = i > 0 ? bounds[i - 1] : 0;
		double n = (double) total->buckets[i];

		if (n > 0 && below + n >= rank)
			return low + (bounds[i] - low) * (rank - below) / n;
		below += n;
	}
	return bounds[HISTOGRAM_BOUNDS - 1];
}
