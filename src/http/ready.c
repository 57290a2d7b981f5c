/*
 * ready.c
 *
 * Ready is asked for two things. For writing, the default: would an event sent
 * now be committed? For reading (?for=read): would a question be answered? A
 * standby is ready for the second and not for the first.
 */
#include "postgres.h"

#include "http/ready.h"

#include <microhttpd.h>

#include "access/xlog.h"

#include "http/access.h"
#include "http/ingest.h"
#include "http/server.h"
#include "monotonic.h"
#include "query/slot.h"
#include "settings.h"
#include "worker.h"

static Reply
unavailable(const char *what, WorkerSlot *worker)
{
	char reason[WORKER_ERROR_SIZE];

	WorkerReason(worker, reason);
	return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "the %s is not ready: %s", what, reason);
}

/*
 * The last thing to look at: would the client's key be looked at?
 */
static Reply
ready(void)
{
	const char *reason = AccessNotReady();

	if (reason != NULL)
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason);
	return ReplyConstant(MHD_HTTP_OK, "{\"status\":\"ready\"}");
}

/*
 * Would an event sent now be committed?
 */
static Reply
ready_for_write(Pair *pair, Ring *ring)
{
	int64 oldest = RingOldestStaged(ring);

	if (RecoveryInProgress())
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, STANDBY_MESSAGE);
	if (pg_atomic_read_u32(&pair->flusher.state) != WORKER_RUNNING)
		return unavailable("flusher", &pair->flusher);
	if (RingPublished(ring) - RingCommitted(ring) > ring->size / 10 * 9)
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is nearly full");
	if (oldest != 0 && ServerNow > MonotonicAfter(oldest, fi_request_timeout))
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
						  "staged events have waited for their commit longer than "
						  "fast_ingest.request_timeout");
	return ready();
}

/*
 * Would a question sent now be answered?
 */
static Reply
ready_for_read(void)
{
	for (int i = 0; i < fi_query_workers; i++)
		if (pg_atomic_read_u32(&QuerySlots[i].worker.state) == WORKER_RUNNING)
			return ready();
	return unavailable("query worker", &QuerySlots[0].worker);
}

void
ReadyRequest(Request *request, Pair *pair, Ring *ring)
{
	const char *use = RequestParameter(request, "for");
	Reply reply;

	if (use != NULL && strcmp(use, "read") != 0 && strcmp(use, "write") != 0)
		reply =
			ReplyError(MHD_HTTP_BAD_REQUEST, "parameter \"for\" is wrong: expected read or write");
	else if (WorkerShutdownRequested)
		reply = ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "the server is shutting down");
	else if (use != NULL && strcmp(use, "read") == 0)
		reply = ready_for_read();
	else
		reply = ready_for_write(pair, ring);
	ServerAnswer(request, reply);
}
