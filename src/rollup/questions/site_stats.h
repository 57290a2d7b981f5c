/*
 * site_stats.h
 *
 * What one website saw on a UTC day.
 */
#ifndef FAST_INGEST_SITE_STATS_H
#define FAST_INGEST_SITE_STATS_H

#include "utils/date.h"

#include "base/time_ranges.h"

/* Most viewed paths, unless a number is given. */
#define DEFAULT_PATHS 10

/* A page of a website. */
typedef struct
{
	const char *path;
	int64 views;
} StatsPath;

typedef struct
{
	int64 total_views;
	int64 unique_users;
	int npaths;
	StatsPath *paths; /* most viewed first, then by path */
} StatsAnswer;

/*
 * Compute what one website saw on a UTC day, as MetricsCompute does: its totals if they are
 * wanted, otherwise 0, and its most viewed paths, at most max_paths. Errors: 22023 for an empty
 * site_id and a day that is out of range; 55000 if raw rows are needed that retention has dropped.
 */
extern StatsAnswer *StatsCompute(const char *site_id, DateADT day, bool totals, int max_paths);

/* The UTC day that a time is in. */
static inline DateADT
UtcDay(TimestampTz ts)
{
	return (DateADT) (BucketStart(ts, LEVEL_DAY) / USECS_PER_DAY);
}

#endif
