/*
 * request_counters.c
 *
 * Making a listener's counters.
 */
#include "postgres.h"

#include "shared/request_counters.h"

void
RequestCountersInit(RequestCounters *traffic)
{
	for (int route = 0; route < TRAFFIC_ROUTES; route++)
	{
		for (int code = 0; code < TRAFFIC_CODES; code++)
			pg_atomic_init_u64(&traffic->requests[route][code], 0);
		HistogramInit(&traffic->durations[route]);
	}
	HistogramInit(&traffic->commit_waits);
	pg_atomic_init_u64(&traffic->aborted, 0);
	pg_atomic_init_u64(&traffic->refused, 0);
	pg_atomic_init_u64(&traffic->request_bytes, 0);
	pg_atomic_init_u64(&traffic->response_bytes, 0);
}
