/*
 * request_count.c
 *
 * Counts requests when they end: a few additions in shared memory, which no other
 * process writes.
 */
#include "postgres.h"

#include "http/request_count.h"

#include <microhttpd.h>

#include "base/clock.h"

StaticAssertDecl(NUM_ROUTES < TRAFFIC_ROUTES, "every route needs a place, and all others one");

const unsigned int CountedStatusCodes[TRAFFIC_CODES - 1] = {
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

static RequestCounters *traffic;

void
RequestCountInit(Pair *pair)
{
	traffic = &pair->traffic;
}

/*
 * The place of a code among those that are counted apart
 */
static int
place_of(unsigned int code)
{
	int place = 0;

	while (place < TRAFFIC_CODES - 1 && CountedStatusCodes[place] != code)
		place++;
	return place;
}

void
RequestCountEnded(const Request *request, bool sent)
{
	CounterAdd(&traffic->request_bytes, request->received);
	if (request->committed != 0)
		HistogramAdd(&traffic->commit_waits, DurationBounds, request->committed - request->staged);
	if (!sent)
	{
		CounterAdd(&traffic->aborted, 1);
		return;
	}
	CounterAdd(&traffic->requests[request->route][place_of(RequestStatus(request))], 1);
	HistogramAdd(&traffic->durations[request->route], DurationBounds,
				 MonotonicNow() - request->began);
	CounterAdd(&traffic->response_bytes, RequestReplyBytes(request));
}

void
RequestCountRefusedConnection(void)
{
	CounterAdd(&traffic->refused, 1);
}
