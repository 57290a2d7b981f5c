/*
 * request_counters.h
 *
 * What a listener has served, in shared memory. Written by the listener alone (see
 * src/http/server/request_count.c), read by anybody.
 *
 * The numbers of routes and codes are bounded, whatever clients make up: what is none
 * of ours shares the last place.
 */
#ifndef FAST_INGEST_REQUEST_COUNTERS_H
#define FAST_INGEST_REQUEST_COUNTERS_H

#include "port/atomics.h"

#include "shared/histogram.h"

#define TRAFFIC_ROUTES 16
#define TRAFFIC_CODES 18

typedef struct
{
	pg_atomic_uint64 requests[TRAFFIC_ROUTES][TRAFFIC_CODES]; /* that were answered */
	Histogram durations[TRAFFIC_ROUTES];					  /* of these */
	Histogram commit_waits;			 /* of those that waited for their commit */
	pg_atomic_uint64 aborted;		 /* requests that ended without an answer */
	pg_atomic_uint64 refused;		 /* connections beyond fast_ingest.max_connections */
	pg_atomic_uint64 request_bytes;	 /* of bodies as they came */
	pg_atomic_uint64 response_bytes; /* of bodies */
} RequestCounters;

extern void RequestCountersInit(RequestCounters *traffic);

#endif
