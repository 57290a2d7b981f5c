/*
 * await_commit.c
 *
 * Answers requests when their records are committed. The waiting queue of a lane is in the
 * order of tickets.
 */
#include "postgres.h"

#include "http/answer/await_commit.h"

#include <microhttpd.h>

#include "utils/memutils.h"

#include "base/clock.h"
#include "base/settings.h"
#include "http/answer/events_reply.h"
#include "http/server/server.h"

static Pair *my_pair;
static RingProducer *producers; /* one for each lane */
static MemoryContext context;	/* of the replies being made */
static dlist_head waiting[NUM_LANES];

void
AwaitCommitInit(Pair *pair, RingProducer *the_producers)
{
	my_pair = pair;
	producers = the_producers;
	context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest answers", ALLOCSET_DEFAULT_SIZES);
	for (int lane = 0; lane < NUM_LANES; lane++)
		dlist_init(&waiting[lane]);
}

void
AwaitCommit(Request *request)
{
	request->state = REQUEST_WAITING;
	request->deadline = MonotonicAfter(ServerNow, fi_request_timeout);
	dlist_push_tail(&waiting[request->lane], &request->node);
}

/*
 * Answer the requests of a lane whose events are committed, and those that have waited too long.
 * unavailable: why nothing will be committed for now, or NULL. Returns how many were answered.
 */
static int
answer_lane(Lane lane, const char *unavailable)
{
	RingProducer *producer = &producers[lane];
	uint64 committed = RingCommitted(producer->ring);
	uint64 dead_lettered = pg_atomic_read_u64(&my_pair->dead_lettered);
	uint64 in_doubt = pg_atomic_read_u64(&my_pair->in_doubt[lane]);
	uint64 release = committed;
	int answered = 0;

	while (!dlist_is_empty(&waiting[lane]))
	{
		Request *request = dlist_head_element(Request, node, &waiting[lane]);
		Reply reply;

		if (request->ticket <= committed && request->start < in_doubt)
			reply = ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
							   "stored, but not confirmed by a synchronous standby: send it again "
							   "as it is");
		else if (request->ticket <= committed)
			reply = request->dead_lettered == dead_lettered
						? EventsReplyAccepted(request)
						: EventsReplyRefused(request, producer->ring);
		else if (unavailable != NULL || request->deadline <= ServerNow)
			reply = ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
							   "%s: the event may still be stored, send it again as it is",
							   unavailable != NULL
								   ? unavailable
								   : "not committed within fast_ingest.request_timeout");
		else
		{
			release = Min(release, request->start);
			break;
		}
		if (request->ticket <= committed)
			request->committed = ServerNow;
		dlist_delete(&request->node);
		ServerAnswer(request, reply);
		answered++;
	}
	RingRelease(producer, release);
	return answered;
}

int
AwaitCommitAnswer(void)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool unavailable = pg_atomic_read_u32(&my_pair->flusher.state) == WORKER_WAITING;
	char reason[WORKER_ERROR_SIZE];
	int answered = 0;

	if (unavailable)
		WorkerReason(&my_pair->flusher, reason);
	for (int lane = 0; lane < NUM_LANES; lane++)
		answered += answer_lane(lane, unavailable ? reason : NULL);
	MemoryContextReset(context);
	MemoryContextSwitchTo(caller);
	return answered;
}

long
AwaitCommitNextDeadline(void)
{
	long next = -1;

	for (int lane = 0; lane < NUM_LANES; lane++)
	{
		Request *request;
		long left;

		if (dlist_is_empty(&waiting[lane]))
			continue;
		request = dlist_head_element(Request, node, &waiting[lane]);
		left = MonotonicLeft(ServerNow, request->deadline);
		next = next < 0 ? left : Min(next, left);
	}
	return next;
}

void
AwaitCommitAbandon(const char *reason)
{
	for (int lane = 0; lane < NUM_LANES; lane++)
		while (!dlist_is_empty(&waiting[lane]))
		{
			Request *request = dlist_head_element(Request, node, &waiting[lane]);

			dlist_delete(&request->node);
			ServerAnswer(request, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason));
		}
}
