/*
 * event_times.h
 *
 * When the events of names were first and last in a range.
 */
#ifndef FAST_INGEST_EVENT_TIMES_H
#define FAST_INGEST_EVENT_TIMES_H

#include "rollup/metrics/metrics_private.h"

typedef struct
{
	const char *name;  /* NULL: of all names beyond fast_ingest.max_event_names */
	TimestampTz first; /* of an event, or of the bucket it is in if its time is not kept and its raw
						* row gone */
	TimestampTz last;
} EventTimes;

/*
 * Find the times of n names that a run has counted events of. Adds the raw rows that are read to
 * the run's sources. Needs SPI.
 */
extern void EventTimesFind(MetricsRun *run, EventTimes *names, int n);

#endif
