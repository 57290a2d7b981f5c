/*
 * live.h
 *
 * What happens now: the last minutes of all events, or of those that meet some filters.
 */
#ifndef FAST_INGEST_LIVE_H
#define FAST_INGEST_LIVE_H

#include "rollup/metrics/metrics.h"
#include "rollup/questions/series.h"

#define LIVE_MINUTES 30

/* Pages and names, unless a number is given; and at most. */
#define DEFAULT_LIVE_TOP 10
#define MAX_LIVE_TOP 100

typedef struct
{
	int nfilters; /* see MetricsQuery */
	const MetricsFilter *filters;
	int top; /* most pages, and most names; 0: they are not wanted */
} LiveQuery;

typedef struct
{
	TimestampTz now; /* the beginning of the statement */

	/*
	 * Whole minutes, the one that is now included: five begin four minutes before it. Events
	 * that are ahead of the clock are not among them.
	 */
	int64 events_5;
	int64 users_5;
	int64 events_30;
	int64 users_30;
	SeriesPoint minutes[LIVE_MINUTES]; /* in order */

	TimestampTz pages_since; /* the quarter of an hour that holds the first minute */
	int npages;
	MetricsRow *pages; /* since then; by total_events, descending, then by path */
	int nnames;
	MetricsRow *names; /* of the 30 minutes */

	int64 raw_rows; /* of fast_ingest.events that were read */
} LiveAnswer;

/*
 * Answer in the active snapshot, in the current memory context. It connects to SPI itself.
 * Errors: those of MetricsCompute.
 */
extern LiveAnswer *LiveCompute(const LiveQuery *query);

#endif
