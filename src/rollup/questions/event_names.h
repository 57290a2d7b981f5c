/*
 * event_names.h
 *
 * The names that events have.
 */
#ifndef FAST_INGEST_EVENT_NAMES_H
#define FAST_INGEST_EVENT_NAMES_H

#include "rollup/metrics/metrics.h"

typedef struct
{
	const char *event_name; /* NULL: all names beyond fast_ingest.max_event_names together */
	int64 total_events;
	int64 unique_users;
	TimestampTz first_seen; /* the ts of the first and of the last event in the range */
	TimestampTz last_seen;
} EventName;

typedef struct
{
	int n;
	EventName *names; /* by total_events, descending, then by name; NULL first among equals */
	TimeRange range;  /* that was answered */
	MetricsSources sources;
} EventNamesAnswer;

/*
 * Find the names in a range and with filters, in the active snapshot, in the current memory
 * context. The query's event_name and group_by are NULL. It connects to SPI itself. Errors: as
 * MetricsCompute.
 */
extern EventNamesAnswer *EventNamesCompute(const MetricsQuery *query);

#endif
