/*
 * request_counters.c
 *
 * Initializing the counters of a listener.
 */
#include "postgres.h"

#include "shared/request_counters.h"

void
RequestCountersInit(RequestCounters *counters)
{
	for (int route = 0; route < COUNTED_ROUTES; route++)
	{
		for (int code = 0; code < COUNTED_CODES; code++)
			pg_atomic_init_u64(&counters->requests[route][code], 0);
		HistogramInit(&counters->durations[route]);
	}
	HistogramInit(&counters->commit_waits);
	pg_atomic_init_u64(&counters->aborted, 0);
	pg_atomic_init_u64(&counters->refused, 0);
	pg_atomic_init_u64(&counters->request_bytes, 0);
	pg_atomic_init_u64(&counters->response_bytes, 0);
}
