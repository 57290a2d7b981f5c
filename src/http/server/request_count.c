/*
 * request_count.c
 *
 * Counts requests when they end: a few additions to counters in shared memory that no
 * other process writes.
 */
#include "postgres.h"

#include "http/server/request_count.h"

#include <microhttpd.h>

#include "base/clock.h"

StaticAssertDecl(NUM_ROUTES < COUNTED_ROUTES,
				 "every route needs a counter, and all other paths share one");

const unsigned int CountedStatusCodes[COUNTED_CODES - 1] = {
	MHD_HTTP_OK,
	MHD_HTTP_ACCEPTED,
	MHD_HTTP_NO_CONTENT,
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

static RequestCounters *counters;

void
RequestCountInit(Pair *pair)
{
	counters = &pair->counters;
}

/*
 * The index of a status code's counter
 */
static int
find_counter(unsigned int code)
{
	int i = 0;

	while (i < COUNTED_CODES - 1 && CountedStatusCodes[i] != code)
		i++;
	return i;
}

void
RequestCountEnded(const Request *request, bool sent)
{
	CounterAdd(&counters->request_bytes, request->received);
	if (request->committed != 0)
		HistogramAdd(&counters->commit_waits, DurationBounds, request->committed - request->staged);
	if (!sent)
	{
		CounterAdd(&counters->aborted, 1);
		return;
	}
	CounterAdd(&counters->requests[request->route][find_counter(RequestStatus(request))], 1);
	HistogramAdd(&counters->durations[request->route], DurationBounds,
				 MonotonicNow() - request->began);
	CounterAdd(&counters->response_bytes, RequestReplyBytes(request));
}

void
RequestCountRefusedConnection(void)
{
	CounterAdd(&counters->refused, 1);
}
