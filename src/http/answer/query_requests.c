/*
 * query_requests.c
 *
 * A request waits in a queue until the slot of a worker is free (see
 * shared/query_slot.h), and then beside this slot until its answer is complete. Its timeout
 * counts from its arrival. The listener copies one piece of an answer in each turn of its
 * loop, so a large answer does not delay other requests.
 */
#include "postgres.h"

#include "http/answer/query_requests.h"

#include <microhttpd.h>

#include "access/xlog.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/settings.h"
#include "http/admit/refusal.h"
#include "http/admit/route.h"
#include "http/answer/query_parameters.h"
#include "http/answer/ready.h"
#include "http/server/server.h"
#include "shared/query_slot.h"

/*
 * How many requests may wait at this listener: all listeners together may use half of the
 * connections, so that the rest is left to events.
 */
#define MAX_WAITING (Max(fi_max_connections / 2 / fi_listeners, 1))

/* ms in which another listener may take a slot that this one has freed */
#define YIELD_TIME 5

static dlist_head queue = DLIST_STATIC_INIT(queue);
static int waiting = 0;		   /* in the queue */
static Request **asked = NULL; /* by slot: the request that its worker answers, or NULL */
static const char *closed_reason = NULL;
static bool freed = false;	  /* has a slot been freed in this turn? */
static int64 yield_until = 0; /* until then only other listeners may use the slots */
static Pair *my_pair;

/* What is asked by each route that comes here */
static const QueryKind query_kinds[NUM_ROUTES] = {
	[ROUTE_METRICS] = QUERY_METRICS,   [ROUTE_SERIES] = QUERY_SERIES,
	[ROUTE_OVERVIEW] = QUERY_OVERVIEW, [ROUTE_EVENT_NAMES] = QUERY_EVENT_NAMES,
	[ROUTE_LIVE] = QUERY_LIVE,		   [ROUTE_STATS] = QUERY_STATS,
	[ROUTE_STATUS] = QUERY_STATUS,	   [ROUTE_RETRY] = QUERY_RETRY,
};

/*
 * Set how many requests wait here; other listeners see the number
 */
static void
set_waiting(int n)
{
	waiting = n;
	pg_atomic_write_u32(&my_pair->waiting_queries, n);
}

/*
 * Give the slots back when the process ends in any way
 */
static void
leave_slots(int code, Datum arg)
{
	pg_atomic_write_u32(&my_pair->waiting_queries, 0);
	for (int i = 0; i < fi_query_workers; i++)
		if (asked[i] != NULL)
			QuerySlotAbandon(&QuerySlots[i]);
}

void
QueryRequestsInit(Pair *pair)
{
	my_pair = pair;
	set_waiting(0);
	asked = MemoryContextAllocZero(TopMemoryContext, fi_query_workers * sizeof(Request *));
	before_shmem_exit(leave_slots, (Datum) 0);
}

/*
 * Callback: take one parameter. The only possible error is that memory runs out. It does no harm
 * to libmicrohttpd, whose functions on the stack only walk a list.
 */
static enum MHD_Result
add_parameter(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
			  const char *value, size_t value_len)
{
	return ParametersAdd(cls, name, name_len, value, value_len) ? MHD_YES : MHD_NO;
}

/*
 * Keep the parameters in place of the request's body, so that the memory limit of bodies
 * includes them. Returns the reply if the request is refused, else one without status.
 */
static Reply
keep_parameters(Request *request)
{
	Parameters parameters = {0};
	Reply reply = {0};

	initStringInfo(&parameters.text);
	(void) MHD_get_connection_values_n(request->mhd, MHD_GET_ARGUMENT_KIND, add_parameter,
									   &parameters);
	RequestDropBody(request);
	if (parameters.error != NULL)
		reply = ReplyError(MHD_HTTP_BAD_REQUEST, "parameter \"%s\" is not allowed: %s",
						   parameters.name, parameters.error);
	else if (parameters.text.len > QUERY_BUFFER_SIZE)
		reply = ReplyError(MHD_HTTP_URI_TOO_LONG, "parameters are longer than %d bytes",
						   QUERY_BUFFER_SIZE);
	else
	{
		RequestAppend(request, parameters.text.data, parameters.text.len, QUERY_BUFFER_SIZE,
					  (size_t) fi_max_request_memory * 1024);
		if (request->refusal != REFUSAL_NONE)
			reply = RefusalReply(request);
	}
	pfree(parameters.text.data);
	return reply;
}

/*
 * Check the body of a request that has one in place of parameters. Returns as keep_parameters
 */
static Reply
check_body(const Request *request)
{
	if (MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, NULL, NULL) > 0)
		return ReplyError(MHD_HTTP_BAD_REQUEST, "parameters are not allowed: expected a body");
	if (request->len > QUERY_BUFFER_SIZE)
		return ReplyError(MHD_HTTP_CONTENT_TOO_LARGE, "body is longer than %d bytes",
						  QUERY_BUFFER_SIZE);
	if (!ParametersAreText(request->body, request->len))
		return ReplyError(MHD_HTTP_BAD_REQUEST, "body is not text in UTF-8");
	return (Reply){0};
}

bool
QueryRequestAdmit(Request *request, const char *refusal)
{
	Reply reply = refusal != NULL ? ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", refusal)
				  : Routes[request->route].json_only ? check_body(request)
													 : keep_parameters(request);

	if (reply.status != 0)
	{
		ServerAnswer(request, reply);
		return false;
	}
	request->state = REQUEST_WAITING;
	request->deadline = MonotonicAfter(ServerNow, fi_query_timeout);
	return true;
}

void
QueryRequestsHandle(Request *request)
{
	const char *refusal = closed_reason != NULL ? closed_reason
						  : request->route == ROUTE_RETRY && RecoveryInProgress()
							  ? "the server is a standby: it stores no events before it is promoted"
						  : waiting >= MAX_WAITING
							  ? "too many queries wait: half of fast_ingest.max_connections may"
							  : NULL;

	if (!QueryRequestAdmit(request, refusal))
		return;
	dlist_push_tail(&queue, &request->node);
	set_waiting(waiting + 1);
}

/*
 * Reply to the request beside a slot, which is free then
 */
static void
answer_asked(int i, Reply reply)
{
	Request *request = asked[i];

	asked[i] = NULL;
	freed = true;
	ServerAnswer(request, reply);
}

/*
 * Answer the request beside a slot with 503; the worker's answer is not needed any more
 */
static void
abandon_query(int i, const char *message)
{
	QuerySlotAbandon(&QuerySlots[i]);
	answer_asked(i, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", message));
}

/*
 * Copy a piece of an answer to the request; false if there is no room for it. The cursor is
 * stored behind the answer.
 */
static bool
copy_piece(Request *request, QuerySlot *slot)
{
	if (request->answer == NULL)
	{
		if (!RequestReserveAnswer(request, slot->answer_len + QUERY_CURSOR_SIZE,
								  (size_t) fi_max_request_memory * 1024))
			return false;
		strlcpy(request->answer + slot->answer_len, slot->next_cursor, QUERY_CURSOR_SIZE);
	}
	if (slot->len > slot->answer_len - request->answer_len)
		return false;
	memcpy(request->answer + request->answer_len, slot->buffer, slot->len);
	request->answer_len += slot->len;
	return true;
}

/*
 * Look what the worker of a slot has for the request beside it, and reply if it is complete
 */
static void
check_slot(int i)
{
	QuerySlot *slot = &QuerySlots[i];
	Request *request = asked[i];
	QuerySlotState state = QuerySlotReadState(slot);

	if (state == SLOT_PIECE || state == SLOT_LAST)
	{
		Reply reply = {.status = slot->status,
					   .type = slot->csv ? "text/csv; charset=utf-8" : NULL};

		if (!copy_piece(request, slot))
			abandon_query(i, "too many large answers at a time (fast_ingest.max_request_memory)");
		else if (QuerySlotTake(slot) && state == SLOT_LAST)
		{
			reply.body = request->answer;
			reply.len = request->answer_len;
			reply.next_cursor = request->answer + request->answer_len;
			answer_asked(i, reply);
		}
		/* otherwise more is to come, or the worker has failed: our latch will be set */
	}
	else if (state == SLOT_FAILED)
		abandon_query(i, "the query worker ended before it answered");
	else if (state == SLOT_ASKED && !ReadyWorker(&slot->worker))
	{
		QuerySlotAbandon(slot);
		answer_asked(i, ReadyRefusal("query worker", &slot->worker));
	}
	else if (request->deadline <= ServerNow)
		abandon_query(i, QUERY_TIMEOUT_MESSAGE);
}

/*
 * Remove the first request from the queue
 */
static Request *
pop_queue(void)
{
	set_waiting(waiting - 1);
	return dlist_container(Request, node, dlist_pop_head_node(&queue));
}

/*
 * Answer the requests that have waited too long, or all of them if no worker is ready
 */
static void
sweep_queue(void)
{
	bool ready = false;

	for (int i = 0; i < fi_query_workers; i++)
		ready |= ReadyWorker(&QuerySlots[i].worker);
	while (!dlist_is_empty(&queue))
	{
		Request *request = dlist_head_element(Request, node, &queue);

		if (ready && request->deadline > ServerNow)
			return;
		(void) pop_queue();
		ServerAnswer(request, ready
								  ? ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, QUERY_TIMEOUT_MESSAGE)
								  : ReadyRefusal("query worker", &QuerySlots[0].worker));
	}
}

/*
 * If this listener has freed a slot, let the queries that wait at other listeners go first.
 * Otherwise a listener with many queries might be the only one that is served.
 */
static void
yield_to_others(void)
{
	if (!freed)
		return;
	freed = false;
	for (int i = 0; i < fi_listeners; i++)
	{
		Pair *pair = &Shared->pairs[i];

		if (pair == my_pair || pg_atomic_read_u32(&pair->waiting_queries) == 0)
			continue;
		WorkerWake(&pair->listener);
		yield_until = MonotonicAfter(ServerNow, YIELD_TIME);
	}
}

void
QueryRequestsProcess(void)
{
	for (int i = 0; i < fi_query_workers; i++)
		if (asked[i] != NULL)
			check_slot(i);
	yield_to_others();
	for (int i = 0; i < fi_query_workers && !dlist_is_empty(&queue) && ServerNow >= yield_until;
		 i++)
	{
		QuerySlot *slot = &QuerySlots[i];
		Request *next = dlist_head_element(Request, node, &queue);

		if (asked[i] != NULL || pg_atomic_read_u32(&slot->worker.state) != WORKER_RUNNING ||
			!QuerySlotAsk(slot, query_kinds[next->route], next->deadline, next->body, next->len))
			continue;
		asked[i] = pop_queue();
	}
	sweep_queue();
}

static long
compute_time_left(Request *request)
{
	return MonotonicLeft(ServerNow, request->deadline);
}

long
QueryRequestsNextDeadline(void)
{
	long next = -1;

	if (!dlist_is_empty(&queue))
		next = ServerNow < yield_until
				   ? MonotonicLeft(ServerNow, yield_until)
				   : compute_time_left(dlist_head_element(Request, node, &queue));
	for (int i = 0; i < fi_query_workers; i++)
		if (asked[i] != NULL && (next < 0 || compute_time_left(asked[i]) < next))
			next = compute_time_left(asked[i]);
	return next;
}

void
QueryRequestsClose(const char *reason)
{
	closed_reason = reason;
	for (int i = 0; i < fi_query_workers; i++)
		if (asked[i] != NULL)
			abandon_query(i, reason);
	while (!dlist_is_empty(&queue))
		ServerAnswer(pop_queue(), ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason));
	yield_to_others();
}
