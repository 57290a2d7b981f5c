/*
 * metrics.h
 *
 * Queries about events and their exact answers: the total and the unique users of an
 * event_name, or of all, in a range of time, by group if wanted.
 */
#ifndef FAST_INGEST_METRICS_H
#define FAST_INGEST_METRICS_H

#include "datatype/timestamp.h"

#include "base/time_ranges.h"

/* What error messages call arguments whose names in SQL differ from those in HTTP. */
typedef struct
{
	const char *from;
	const char *to;
	const char *timezone;
} MetricsNames;

/*
 * A condition on events: what is named has one of some values. name is "channel", the name of a
 * breakdown, "campaign_id", "path", "tag" or "metadata.<member>". An event whose breakdown has
 * several keys, or that has several tags, needs one of them among the values.
 */
typedef struct
{
	const char *name;
	int nvalues; /* at least 1 */
	const char *const *values;
} MetricsFilter;

/* What is asked for. */
typedef struct
{
	const MetricsNames *names;
	const char *event_name; /* NULL: events of all names */
	bool has_from;
	bool has_to;
	TimestampTz from;	  /* inclusive */
	TimestampTz to;		  /* exclusive */
	const char *group_by; /* "hour", "day", "week", "month", "event", a breakdown's name; NULL is
						   * one row for all */
	int nfilters;		  /* count the events only that meet all of these */
	const MetricsFilter *filters;
	const char *timezone; /* of hours, days, weeks and months; NULL is UTC */
	bool sunday;		  /* weeks begin on Sunday; false: on Monday */
	bool fill;			  /* answer times without events, too */
	bool align;			  /* widen the range to whole buckets of the rollup */
	int limit;			  /* of names or keys: answer so many of the most events only, in the order
						   * of rows, and do not read the users of others; 0: answer all */
	bool rollup_only;	  /* leave the answer out if the rollup does not know it */
} MetricsQuery;

/* A group of an answer, or its only row. */
typedef struct
{
	const char *group; /* the beginning of a period in ISO 8601, an event_name or a key; NULL for
						* the only row, and for names or keys that are counted together */
	int64 order;	   /* of periods: see TimeGroup */
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
	bool left_out; /* see rollup_only: nothing below is there */
	int nrows;
	MetricsRow *rows; /* periods in order; others by total_events descending, then by group */
	int ngroups;	  /* how many rows there are without a limit */
	bool by_key;	  /* the groups are event_names or keys */
	bool capped;	  /* some of them are beyond the limit: one group is NULL */
	TimeRange range;  /* that was answered: what was asked for, or more if it was aligned */
	MetricsSources sources;
} MetricsAnswer;

/* Are the groups hours, days, weeks or months? */
extern bool MetricsByPeriod(const char *group_by);

/*
 * Compute the answer to a query in the active snapshot, in the current memory context. It
 * connects to SPI itself. Errors: 22023 for an empty event_name, a range that is empty, an
 * unknown group_by, filter or time zone, and too many groups, with a message that names the
 * argument, its value and what is expected; 55000 if raw rows are needed that retention has
 * dropped.
 */
extern MetricsAnswer *MetricsCompute(const MetricsQuery *query);

#endif
