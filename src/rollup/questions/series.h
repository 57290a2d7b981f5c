/*
 * series.h
 *
 * Points over time, for charts: the events and unique users of each step of a range, in all or
 * by the largest groups.
 */
#ifndef FAST_INGEST_SERIES_H
#define FAST_INGEST_SERIES_H

#include "rollup/metrics/metrics.h"

/* The largest groups that are told apart, unless a number is given; and at most. */
#define DEFAULT_SERIES_TOP 10
#define MAX_SERIES_TOP 1000

/* Most points of an answer, of all its series together. */
#define MAX_SERIES_POINTS 200000

typedef struct
{
	MetricsQuery metrics; /* group_by: "event" or a breakdown; NULL is one series */
	const char *step;	  /* "1m" to "1mo", "auto", or an interval of Grafana like "30s" */
	int top;			  /* groups that get a series of their own */
} SeriesQuery;

typedef struct
{
	TimestampTz time; /* at which the step begins */
	int64 total_events;
	int64 unique_users;
} SeriesPoint;

typedef struct
{
	const char *group;	/* NULL: of the only series, and of all groups that are told no apart */
	bool is_other;		/* the latter */
	int64 total_events; /* of the whole range */
	int64 unique_users;
	int npoints; /* the same of all series, unless empty ones are left out (fill) */
	SeriesPoint *points;
} Series;

typedef struct
{
	int nseries;
	Series *series;		/* by total_events, descending, then by group; the others are the last */
	int64 total_events; /* of the whole range and all groups */
	int64 unique_users;
	const char *step; /* that was taken: "1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo" */
	TimeRange range;  /* that was answered */
	MetricsSources sources;
} SeriesAnswer;

/*
 * Compute a series in the active snapshot, in the current memory context. It connects to SPI
 * itself. Errors: as MetricsCompute, and 22023 for a step or a top that is not valid, for hours
 * or days as groups, and for too many points.
 */
extern SeriesAnswer *SeriesCompute(const SeriesQuery *query);

#endif
