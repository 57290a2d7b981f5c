/*
 * request_counters.h
 *
 * Counters of what a listener has served, in shared memory. Only the listener writes them
 * (see src/http/server/request_count.c); anybody may read them.
 *
 * The numbers of routes and of status codes are fixed, whatever clients send: the last place
 * is for all that have no place of their own.
 */
#ifndef FAST_INGEST_REQUEST_COUNTERS_H
#define FAST_INGEST_REQUEST_COUNTERS_H

#include "port/atomics.h"

#include "shared/types/histogram.h"

/* What a request asks for; http/admit/route.c has what each accepts. */
typedef enum
{
	ROUTE_EVENTS,
	ROUTE_BULK,
	ROUTE_EVENT,
	ROUTE_HEALTH,
	ROUTE_READY,
	ROUTE_METRICS,
	ROUTE_SERIES,
	ROUTE_OVERVIEW,
	ROUTE_EVENT_NAMES,
	ROUTE_LIVE,
	ROUTE_STATS,
	ROUTE_STATUS,
	ROUTE_RETRY,
	ROUTE_EXPORT,
	ROUTE_PROMETHEUS,
	ROUTE_KEY,
	ROUTE_OPENAPI,
	ROUTE_DOCS,
	ROUTE_DASHBOARD,
	NUM_ROUTES
} RouteId;

/* By RouteId. */
extern const char *const RoutePaths[NUM_ROUTES];

#define COUNTED_ROUTES 24
#define COUNTED_CODES 19

typedef struct
{
	pg_atomic_uint64 requests[COUNTED_ROUTES][COUNTED_CODES]; /* with a response */
	Histogram durations[COUNTED_ROUTES];					  /* of these */
	Histogram commit_waits;			 /* of those that waited for their commit */
	pg_atomic_uint64 aborted;		 /* requests that ended without a response */
	pg_atomic_uint64 refused;		 /* connections beyond fast_ingest.max_connections */
	pg_atomic_uint64 request_bytes;	 /* of bodies as they arrived */
	pg_atomic_uint64 response_bytes; /* of bodies */
} RequestCounters;

/* The status codes that have a counter each; all others share the counter behind them. */
extern const unsigned int CountedStatusCodes[COUNTED_CODES - 1];

/* Initialize counters in shared memory. */
extern void RequestCountersInit(RequestCounters *counters);

#endif
