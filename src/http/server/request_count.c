/*
 * request_count.c
 *
 * Counts requests when they end: a few additions to counters in shared memory that no
 * other process writes.
 */
#include "postgres.h"

#include "http/server/request_count.h"

#include "base/clock.h"

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
