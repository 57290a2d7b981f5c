/*
 * export_requests.c
 *
 * A request waits in a queue until the export slot of a worker is free (see
 * shared/query_slot.h), and stays beside that slot until it ends. Its reply begins with the first
 * piece, because only then it is known whether the export can be made at all.
 *
 * A client that does not read is cut like any other (see http/server/connection.c), and the worker
 * is free again. While the worker is searching, nothing is sent, so libmicrohttpd would not notice
 * that the client has gone: the listener looks after it.
 */
#include "postgres.h"

#include "http/export/export_requests.h"

#include <microhttpd.h>
#include <poll.h>

#include "storage/ipc.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/settings.h"
#include "http/answer/query_requests.h"
#include "http/answer/ready.h"
#include "http/server/server.h"
#include "shared/query_slot.h"

/* Requests that may wait for a free slot at this listener. */
#define MAX_WAITING 8

#define QUEUE_PAUSE 50	 /* ms between two looks for a slot that another listener has freed */
#define CLIENT_PAUSE 500 /* ms between two looks whether the clients that wait are there */

/* What goes on beside a slot. */
typedef struct
{
	Request *request; /* NULL: nothing of this listener's */
	bool last;		  /* the piece in the request is the last one */
	bool broken;	  /* the answer will not be complete */
} Export;

static dlist_head queue = DLIST_STATIC_INIT(queue);
static int waiting = 0; /* in the queue */
static Export *exports; /* by slot */
static int64 looked_at = 0;
static const char *closed_reason = NULL;

static long read_stream(Request *request, char *buffer, size_t size);
static void end_stream(Request *request);

static const ReplyStream stream = {read_stream, end_stream};

/*
 * The first worker that takes exports, if there are others
 */
static int
first_slot(void)
{
	return fi_query_workers > 1 ? 1 : 0;
}

/*
 * Give the slots back when the process ends in any way
 */
static void
leave_slots(int code, Datum arg)
{
	for (int i = 0; i < fi_query_workers; i++)
		if (exports[i].request != NULL)
			QuerySlotAbandon(&ExportSlots[i]);
}

void
ExportRequestsInit(void)
{
	exports = MemoryContextAllocZero(TopMemoryContext, fi_query_workers * sizeof(Export));
	before_shmem_exit(leave_slots, (Datum) 0);
}

void
ExportRequestsHandle(Request *request)
{
	const char *refusal = closed_reason != NULL	   ? closed_reason
						  : waiting >= MAX_WAITING ? "too many exports wait"
												   : NULL;

	if (!QueryRequestAdmit(request, refusal))
		return;
	dlist_push_tail(&queue, &request->node);
	waiting++;
}

/*
 * Move the piece in the slot to the request. False if there is none. Sets broken if there will be
 * none.
 */
static bool
take_piece(Export *export, QuerySlot *slot)
{
	Request *request = export->request;
	QuerySlotState state = QuerySlotReadState(slot);

	if (state == SLOT_FAILED)
		export->broken = true;
	if (state != SLOT_PIECE && state != SLOT_LAST)
		return false;
	memcpy(request->answer, slot->buffer, slot->len);
	request->answer_len = slot->len;
	request->answer_sent = 0;
	if (QuerySlotTake(slot))
		export->last = state == SLOT_LAST;
	/* otherwise the worker has failed, which the next look shows */
	return true;
}

/*
 * Callback: see reply.h
 */
static long
read_stream(Request *request, char *buffer, size_t size)
{
	Export *export = &exports[request->export];

	for (;;)
	{
		size_t n = Min(request->answer_len - request->answer_sent, size);

		if (export->broken)
			return STREAM_BREAKS;
		if (n > 0)
		{
			memcpy(buffer, request->answer + request->answer_sent, n);
			request->answer_sent += n;
			return (long) n;
		}
		if (export->last)
			return STREAM_ENDS;
		if (!take_piece(export, &ExportSlots[request->export]) && !export->broken)
			return STREAM_WAITS;
	}
}

/*
 * Callback: the request has ended
 */
static void
end_stream(Request *request)
{
	Export *export = &exports[request->export];

	/* after the last piece the slot may be somebody else's already */
	if (!export->last)
		QuerySlotAbandon(&ExportSlots[request->export]);
	*export = (Export){0};
}

/*
 * Answer the request beside a slot with an error instead of a stream
 */
static void
answer_error(int i, Reply reply)
{
	Request *request = exports[i].request;

	exports[i] = (Export){0};
	ServerAnswer(request, reply);
}

/*
 * The worker has the first piece: begin the reply, or answer with the error that it is
 */
static void
begin_reply(int i)
{
	QuerySlot *slot = &ExportSlots[i];
	Request *request = exports[i].request;
	Reply reply = {.status = slot->status};

	if (slot->status != MHD_HTTP_OK)
	{
		reply = ReplyText(slot->status, slot->buffer, slot->len);
		QuerySlotAbandon(slot);
		answer_error(i, reply);
		return;
	}
	if (!RequestReserveAnswer(request, QUERY_BUFFER_SIZE + QUERY_CURSOR_SIZE,
							  (size_t) fi_max_request_memory * 1024))
	{
		QuerySlotAbandon(slot);
		answer_error(i,
					 ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "too many large answers at a time "
															  "(fast_ingest.max_request_memory)"));
		return;
	}
	strlcpy(request->answer + QUERY_BUFFER_SIZE, slot->next_cursor, QUERY_CURSOR_SIZE);
	reply.type = slot->csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
	reply.next_cursor = request->answer + QUERY_BUFFER_SIZE;
	reply.stream = &stream;
	request->export = i;
	ServerAnswer(request, reply);
}

/*
 * Look after a request that has no reply yet
 */
static void
check_asked(int i)
{
	QuerySlot *slot = &ExportSlots[i];
	QuerySlotState state = QuerySlotReadState(slot);
	bool late = exports[i].request->deadline <= ServerNow;

	if (state == SLOT_PIECE || state == SLOT_LAST)
		begin_reply(i);
	else if (state == SLOT_FAILED)
	{
		QuerySlotAbandon(slot);
		answer_error(i, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
								   "the query worker ended before it answered"));
	}
	else if (state == SLOT_ASKED && (late || !ReadyWorker(QuerySlotWorker(slot))))
	{
		QuerySlotAbandon(slot);
		answer_error(i, late ? ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, QUERY_TIMEOUT_MESSAGE)
							 : ReadyRefusal("query worker", QuerySlotWorker(slot)));
	}
}

/*
 * Has the client of a request closed the connection, in both directions?
 */
static bool
is_client_gone(const Request *request)
{
	struct pollfd client = {.fd = request->connection->fd};

	return poll(&client, 1, 0) == 1 && (client.revents & (POLLHUP | POLLERR)) != 0;
}

/*
 * Look after a stream that waits: is there something to send, or nobody to send it to?
 */
static void
check_stream(int i, bool look)
{
	Export *export = &exports[i];
	QuerySlotState state = QuerySlotReadState(&ExportSlots[i]);

	if (look && is_client_gone(export->request))
		export->broken = true;
	if (export->broken || state == SLOT_PIECE || state == SLOT_LAST || state == SLOT_FAILED)
		ServerContinue(export->request);
}

static Request *
pop_queue(void)
{
	waiting--;
	return dlist_container(Request, node, dlist_pop_head_node(&queue));
}

/*
 * Hand the first request of the queue to a worker; false if none is free
 */
static bool
ask_worker(void)
{
	Request *request = dlist_head_element(Request, node, &queue);

	for (int i = first_slot(); i < fi_query_workers; i++)
	{
		QuerySlot *slot = &ExportSlots[i];

		if (exports[i].request != NULL ||
			pg_atomic_read_u32(&QuerySlotWorker(slot)->state) != WORKER_RUNNING ||
			!QuerySlotAsk(slot, QUERY_EXPORT, request->deadline, request->body, request->len))
			continue;
		exports[i].request = pop_queue();
		return true;
	}
	return false;
}

/*
 * Answer the requests that have waited too long, or all of them if no worker is ready
 */
static void
sweep_queue(void)
{
	bool ready = false;

	for (int i = first_slot(); i < fi_query_workers; i++)
		ready |= ReadyWorker(&QuerySlots[i].worker);
	while (!dlist_is_empty(&queue))
	{
		Request *request = dlist_head_element(Request, node, &queue);

		if (ready && request->deadline > ServerNow)
			return;
		(void) pop_queue();
		ServerAnswer(request, ready
								  ? ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
											   "too many exports at a time: at most %d "
											   "(fast_ingest.query_workers)",
											   fi_query_workers - first_slot())
								  : ReadyRefusal("query worker", &QuerySlots[first_slot()].worker));
	}
}

void
ExportRequestsProcess(void)
{
	bool look = ServerNow >= MonotonicAfter(looked_at, CLIENT_PAUSE);

	if (look)
		looked_at = ServerNow;
	for (int i = 0; i < fi_query_workers; i++)
	{
		Request *request = exports[i].request;

		if (request == NULL)
			continue;
		if (request->state == REQUEST_WAITING)
			check_asked(i);
		else if (request->stream_waits)
			check_stream(i, look);
	}
	while (!dlist_is_empty(&queue) && ask_worker())
		;
	sweep_queue();
}

long
ExportRequestsNextDeadline(void)
{
	if (!dlist_is_empty(&queue))
		return QUEUE_PAUSE;
	for (int i = 0; i < fi_query_workers; i++)
		if (exports[i].request != NULL)
			return CLIENT_PAUSE;
	return -1;
}

void
ExportRequestsClose(const char *reason)
{
	closed_reason = reason;
	while (!dlist_is_empty(&queue))
		ServerAnswer(pop_queue(), ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason));
	for (int i = 0; i < fi_query_workers; i++)
	{
		Export *export = &exports[i];

		if (export->request == NULL)
			continue;
		if (export->request->state == REQUEST_WAITING)
		{
			QuerySlotAbandon(&ExportSlots[i]);
			answer_error(i, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason));
			continue;
		}
		export->broken = !export->last;
		if (export->request->stream_waits)
			ServerContinue(export->request);
	}
}
