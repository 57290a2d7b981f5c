/*
 * ready.c
 *
 * Ready is asked for two things. For writing, the default: would an event sent
 * now be committed? For reading (?for=read): would a question be answered? A
 * standby is ready for the second and not for the first.
 */
#include "postgres.h"

#include "http/answer/ready.h"

#include <microhttpd.h>

#include "access/xlog.h"

#include "http/admit/api_key_check.h"
#include "http/answer/post_events.h"
#include "http/server/server.h"
#include "base/clock.h"
#include "shared/query_slot.h"
#include "base/settings.h"
#include "worker/worker.h"

#define ALIVE_TIME 2500 /* ms in which a flusher that runs has shown it */

static Reply
unavailable(const char *what, WorkerSlot *worker)
{
	char reason[WORKER_ERROR_SIZE];

	WorkerReason(worker, reason);
	return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "the %s is not ready: %s", what, reason);
}

/*
 * The last thing to look at: would the client's key be looked at? A warning of what
 * does not concern an event sent now is part of the answer.
 */
static Reply
ready(const char *warning)
{
	const char *reason = AccessNotReady();

	if (reason != NULL)
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason);
	if (warning == NULL)
		return ReplyConstant(MHD_HTTP_OK, "{\"status\":\"ready\"}");
	return ReplyMessage(MHD_HTTP_OK, "{\"status\":\"ready\",\"warning\":", warning);
}

static bool
is_nearly_full(Ring *ring)
{
	return RingPublished(ring) - RingCommitted(ring) > ring->size / 10 * 9;
}

static bool
waits_for_long(Ring *ring)
{
	int64 oldest = RingOldestStaged(ring);

	return oldest != 0 && ServerNow > MonotonicAfter(oldest, fi_request_timeout);
}

/*
 * Does the flusher run? One that is stopped, or starved, stores nothing of any day.
 */
static bool
is_alive(Pair *pair)
{
	return ServerNow < MonotonicAfter((int64) pg_atomic_read_u64(&pair->alive_at), ALIVE_TIME);
}

/*
 * What is wrong with events of other days while today's are stored; NULL if nothing is
 */
static const char *
other_days_warning(Pair *pair, Ring *ring, char warning[WORKER_ERROR_SIZE])
{
	LWLockAcquire(Shared->lock, LW_SHARED);
	strlcpy(warning, pair->other_days, WORKER_ERROR_SIZE);
	LWLockRelease(Shared->lock);
	if (warning[0] != '\0')
		return warning;
	if (is_nearly_full(ring))
		return "staging is nearly full of events of other days than today";
	if (waits_for_long(ring))
		return "staged events of other days than today have waited for their commit longer than "
			   "fast_ingest.request_timeout";
	return NULL;
}

/*
 * Would an event sent now be committed?
 */
static Reply
ready_for_write(Pair *pair, Ring **rings)
{
	char warning[WORKER_ERROR_SIZE];

	if (RecoveryInProgress())
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, STANDBY_MESSAGE);
	if (pg_atomic_read_u32(&pair->flusher.state) == WORKER_WAITING)
		return unavailable("flusher", &pair->flusher);
	if (is_nearly_full(rings[LANE_TODAY]))
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is nearly full");
	if (pg_atomic_read_u32(&pair->flusher.state) != WORKER_RUNNING)
		return unavailable("flusher", &pair->flusher);
	if (waits_for_long(rings[LANE_TODAY]) ||
		(waits_for_long(rings[LANE_OTHER_DAYS]) && !is_alive(pair)))
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
						  "staged events have waited for their commit longer than "
						  "fast_ingest.request_timeout");
	return ready(other_days_warning(pair, rings[LANE_OTHER_DAYS], warning));
}

/*
 * Would a question sent now be answered?
 */
static Reply
ready_for_read(void)
{
	for (int i = 0; i < fi_query_workers; i++)
		if (pg_atomic_read_u32(&QuerySlots[i].worker.state) == WORKER_RUNNING)
			return ready(NULL);
	return unavailable("query worker", &QuerySlots[0].worker);
}

void
ReadyRequest(Request *request, Pair *pair, Ring **rings)
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
		reply = ready_for_write(pair, rings);
	ServerAnswer(request, reply);
}
