/*
 * request_counters.c
 *
 * What is counted, and initializing the counters of a listener.
 */
#include "postgres.h"

#include "shared/request_counters.h"

#include <microhttpd.h>

StaticAssertDecl(NUM_ROUTES < COUNTED_ROUTES,
				 "every route needs a counter, and all other paths share one");

const char *const RoutePaths[NUM_ROUTES] = {
	[ROUTE_EVENTS] = "/events",
	[ROUTE_BULK] = "/events/bulk",
	[ROUTE_EVENT] = "/event",
	[ROUTE_HEALTH] = "/health",
	[ROUTE_READY] = "/ready",
	[ROUTE_METRICS] = "/metrics",
	[ROUTE_SERIES] = "/series",
	[ROUTE_OVERVIEW] = "/overview",
	[ROUTE_EVENT_NAMES] = "/event_names",
	[ROUTE_LIVE] = "/live",
	[ROUTE_STATS] = "/stats",
	[ROUTE_STATUS] = "/status",
	[ROUTE_RETRY] = "/dead_letters/retry",
	[ROUTE_EXPORT] = "/export",
	[ROUTE_PROMETHEUS] = "/metrics/prometheus",
	[ROUTE_KEY] = "/key",
	[ROUTE_OPENAPI] = "/openapi.json",
	[ROUTE_DOCS] = "/docs",
	[ROUTE_DASHBOARD] = "/",
};

const unsigned int CountedStatusCodes[COUNTED_CODES - 1] = {
	MHD_HTTP_OK,
	MHD_HTTP_ACCEPTED,
	MHD_HTTP_NO_CONTENT,
	MHD_HTTP_NOT_MODIFIED,
	MHD_HTTP_BAD_REQUEST,
	MHD_HTTP_UNAUTHORIZED,
	MHD_HTTP_FORBIDDEN,
	MHD_HTTP_NOT_FOUND,
	MHD_HTTP_METHOD_NOT_ALLOWED,
	MHD_HTTP_REQUEST_TIMEOUT,
	MHD_HTTP_CONTENT_TOO_LARGE,
	MHD_HTTP_URI_TOO_LONG,
	MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
	MHD_HTTP_UNPROCESSABLE_CONTENT,
	MHD_HTTP_TOO_MANY_REQUESTS,
	MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
	MHD_HTTP_INTERNAL_SERVER_ERROR,
	MHD_HTTP_SERVICE_UNAVAILABLE,
};

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
