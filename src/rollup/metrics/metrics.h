/*
 * metrics.h
 *
 * Queries about events and their exact answers: the total and the unique users of an
 * event_name in a range of time, by group if wanted, and what one website saw on a day.
 */
#ifndef FAST_INGEST_METRICS_H
#define FAST_INGEST_METRICS_H

#include "datatype/timestamp.h"
#include "utils/date.h"

#include "base/time_ranges.h"

/* Most viewed paths of a website, unless a number is given. */
#define DEFAULT_PATHS 10

/* What error messages call arguments whose names in SQL differ from those in HTTP. */
typedef struct
{
	const char *from;
	const char *to;
	const char *timezone;
} MetricsNames;

/* What is asked for. */
typedef struct
{
	const MetricsNames *names;
	const char *event_name;
	bool has_from;
	bool has_to;
	TimestampTz from;	  /* inclusive */
	TimestampTz to;		  /* exclusive */
	const char *group_by; /* "hour", "day", a breakdown's name; NULL is one row for all */
	const char *channel;  /* count the events of this channel only; NULL is any */
	const char *timezone; /* of hours and days; NULL is UTC */
	bool fill;			  /* answer hours and days without events, too */
} MetricsQuery;

/* A group of an answer, or its only row. */
typedef struct
{
	const char *group; /* the beginning of an hour or a day in ISO 8601, or a key; NULL for
						* the only row, and for the keys that are counted together */
	int64 order;	   /* of hours and days: see TimeGroup */
	int64 total_events;
	int64 unique_users;
} MetricsRow;

/* How many rows of each kind an answer was read from. */
typedef struct
{
	int64 days;
	int64 hours;
	int64 minutes;
	int64 deltas;	/* groups of deltas not yet merged */
	int64 raw_rows; /* of fast_ingest.events */
} MetricsSources;

typedef struct
{
	int nrows;
	MetricsRow *rows; /* hours and days in order; keys by total_events descending, then by key */
	bool by_key;	  /* the groups are keys */
	bool capped;	  /* some keys are beyond the breakdown's max_keys: one group is NULL */
	MetricsSources sources;
} MetricsAnswer;

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
 * Compute the answer to a query in the active snapshot, in the current memory context. It
 * connects to SPI itself. Errors: 22023 for an empty event_name, a range that is empty, an
 * unknown group_by or time zone, and too many groups, with a message that names the argument,
 * its value and what is expected; 55000 if raw rows are needed that retention has dropped.
 */
extern MetricsAnswer *MetricsCompute(const MetricsQuery *query);

/*
 * Compute what one website saw on a UTC day, as MetricsCompute does: its totals if they are
 * wanted, otherwise 0, and its most viewed paths, at most max_paths. Errors: 22023 for an empty
 * site_id and a day that is out of range; 55000 as above.
 */
extern StatsAnswer *StatsCompute(const char *site_id, DateADT day, bool totals, int max_paths);

/* The UTC day that a time is in. */
static inline DateADT
UtcDay(TimestampTz ts)
{
	return (DateADT) (BucketStart(ts, LEVEL_DAY) / USECS_PER_DAY);
}

#endif
