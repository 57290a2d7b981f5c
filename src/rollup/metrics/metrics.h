/*
 * metrics.h
 *
 * Questions about events and their exact answers: totals and unique users of a
 * time range, in all or by group.
 */
#ifndef FAST_INGEST_METRICS_H
#define FAST_INGEST_METRICS_H

#include "datatype/timestamp.h"
#include "utils/date.h"

#include "rollup/breakdown/breakdown.h"

/* Most viewed paths of a website, where nobody says how many. */
#define DEFAULT_PATHS 10

/* What errors call some of the arguments: they have other names in SQL than in HTTP. */
typedef struct
{
	const char *from;
	const char *to;
	const char *timezone;
} MetricsNames;

typedef struct
{
	const MetricsNames *names;
	const char *event_name;
	bool has_from;
	bool has_to;
	TimestampTz from;	  /* inclusive */
	TimestampTz to;		  /* exclusive */
	const char *group_by; /* "hour", "day", a breakdown's name; NULL is one row for all */
	const char *channel;  /* counts this channel only; NULL is any */
	const char *timezone; /* of hours and days; NULL is UTC */
	bool fill;			  /* hours and days without events are rows, too */
} MetricsQuery;

typedef struct
{
	const char *group; /* ISO 8601 instant or key; NULL: all there is, or keys counted together */
	int64 order;	   /* of hours and days: see TimeGroup */
	int64 total_events;
	int64 unique_users;
} MetricsRow;

/* How many rows of each source an answer read. */
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
	MetricsRow *rows; /* hours and days in order, keys by total_events descending, then by key */
	bool by_key;	  /* groups are keys */
	bool capped;	  /* one of them, NULL, is what is beyond the breakdown's max_keys */
	MetricsSources sources;
} MetricsAnswer;

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
 * Answer a question from the rollup in the active snapshot. It needs an active
 * snapshot and connects to SPI by itself. Everything returned is allocated in
 * the current memory context. Errors: 22023 (ERRCODE_INVALID_PARAMETER_VALUE),
 * with a message that names parameter, value and what is allowed, for an empty
 * event_name, from >= to, an unknown group_by or timezone, and a range of too many
 * groups; 55000 for a range that needs raw rows which retention has dropped.
 */
extern MetricsAnswer *MetricsCompute(const MetricsQuery *query);

/*
 * What one website saw on a UTC day: its totals if they are wanted, otherwise 0, and
 * its most viewed paths, at most max_paths. As MetricsCompute. Error 22023 for an empty
 * site_id or a day out of range.
 */
extern StatsAnswer *StatsCompute(const char *site_id, DateADT day, bool totals, int max_paths);

/* The UTC day that a time is in. */
static inline DateADT
UtcDay(TimestampTz ts)
{
	return (DateADT) (BucketStart(ts, LEVEL_DAY) / USECS_PER_DAY);
}

/* Read a time as clients write it: see TimestampRead. */
extern bool MetricsParseTime(const char *text, TimestampTz *time, const char **wrong);

#endif
