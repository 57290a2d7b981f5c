/*
 * ready.c
 *
 * There are two questions. For writing, the default: would an event that is sent now be
 * committed? For reading (?for=read): would a query be answered? A standby is ready for
 * reading, but not for writing.
 */
#include "postgres.h"

#include "http/answer/ready.h"

#include <microhttpd.h>

#include "access/xlog.h"

#include "base/clock.h"
#include "base/settings.h"
#include "http/admit/api_key_check.h"
#include "http/admit/refusal.h"
#include "http/answer/post_events.h"
#include "http/server/server.h"
#include "shared/query_slot.h"
#include "worker/worker.h"

#define ALIVE_TIME 2500 /* a flusher that runs has said so within so many ms */

bool
ReadyWorker(WorkerSlot *worker)
{
	uint32 state = pg_atomic_read_u32(&worker->state);

	return state == WORKER_RUNNING || state == WORKER_STARTING;
}

Reply
ReadyRefusal(const char *what, WorkerSlot *worker)
{
	char reason[WORKER_ERROR_SIZE];

	WorkerReason(worker, reason);
	return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "the %s is not ready: %s", what, reason);
}

/*
 * Make the reply "ready", with a warning if it is not NULL, unless no API key can be checked
 */
static Reply
make_ready_reply(const char *warning)
{
	if (!ApiKeysAreReady())
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, KEYS_NOT_LOADED_MESSAGE);
	if (warning == NULL)
		return ReplyConstant(MHD_HTTP_OK, "{\"status\":\"ready\"}");
	return ReplyMessage(MHD_HTTP_OK, "{\"status\":\"ready\",\"warning\":", warning);
}

static bool
is_nearly_full(Ring *ring)
{
	return RingPublished(ring) - RingCommitted(ring) > ring->size / 10 * 9;
}

/*
 * Has the oldest record waited for its commit for longer than a request may?
 */
static bool
is_overdue(Ring *ring)
{
	int64 oldest = RingOldestStaged(ring);

	return oldest != 0 && ServerNow > MonotonicAfter(oldest, fi_request_timeout);
}

/*
 * Does the flusher run? If it is stopped, or starved of CPU time, it stores events of no day.
 */
static bool
is_alive(Pair *pair)
{
	return ServerNow < MonotonicAfter((int64) pg_atomic_read_u64(&pair->alive_at), ALIVE_TIME);
}

/*
 * What keeps events of other days than today from being stored, or NULL. It is no reason to be
 * not ready, because today's events are stored.
 */
static const char *
find_other_days_warning(Pair *pair, Ring *ring, char warning[WORKER_ERROR_SIZE])
{
	LWLockAcquire(Shared->lock, LW_SHARED);
	strlcpy(warning, pair->other_days, WORKER_ERROR_SIZE);
	LWLockRelease(Shared->lock);
	if (warning[0] != '\0')
		return warning;
	if (is_nearly_full(ring))
		return "staging is nearly full of events of other days than today";
	if (is_overdue(ring))
		return "staged events of other days than today have waited for their commit longer than "
			   "fast_ingest.request_timeout";
	return NULL;
}

/*
 * Would an event that is sent now be committed?
 */
static Reply
check_write(Pair *pair, Ring **rings)
{
	char warning[WORKER_ERROR_SIZE];

	if (RecoveryInProgress())
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, STANDBY_MESSAGE);
	if (pg_atomic_read_u32(&pair->flusher.state) == WORKER_WAITING)
		return ReadyRefusal("flusher", &pair->flusher);
	if (is_nearly_full(rings[LANE_TODAY]))
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is nearly full");
	if (pg_atomic_read_u32(&pair->flusher.state) != WORKER_RUNNING)
		return ReadyRefusal("flusher", &pair->flusher);
	if (is_overdue(rings[LANE_TODAY]) || (is_overdue(rings[LANE_OTHER_DAYS]) && !is_alive(pair)))
		return ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
						  "staged events have waited for their commit longer than "
						  "fast_ingest.request_timeout");
	return make_ready_reply(find_other_days_warning(pair, rings[LANE_OTHER_DAYS], warning));
}

/*
 * Would a query that is sent now be answered?
 */
static Reply
check_read(void)
{
	for (int i = 0; i < fi_query_workers; i++)
		if (pg_atomic_read_u32(&QuerySlots[i].worker.state) == WORKER_RUNNING)
			return make_ready_reply(NULL);
	return ReadyRefusal("query worker", &QuerySlots[0].worker);
}

void
ReadyHandle(Request *request, Pair *pair, Ring **rings)
{
	const char *use = RequestParameter(request, "for");
	Reply reply;

	if (use != NULL && strcmp(use, "read") != 0 && strcmp(use, "write") != 0)
		reply =
			ReplyError(MHD_HTTP_BAD_REQUEST, "parameter \"for\" is wrong: expected read or write");
	else if (WorkerShutdownRequested)
		reply = ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "the server is shutting down");
	else if (use != NULL && strcmp(use, "read") == 0)
		reply = check_read();
	else
		reply = check_write(pair, rings);
	ServerAnswer(request, reply);
}
