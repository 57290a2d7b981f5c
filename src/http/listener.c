/*
 * listener.c
 *
 * The listener worker: one event loop over its latch, the postmaster's death,
 * the listening sockets and libmicrohttpd's epoll descriptors. It is bound to no
 * database and runs no SQL.
 *
 * One turn: let libmicrohttpd read and write; answer what has been committed;
 * take the complete requests, which stages their events, and wake the flusher;
 * hand questions to query workers and take in their answers.
 */
#include "postgres.h"

#include <microhttpd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "http/admit/api_key_check.h"
#include "http/request_count.h"
#include "http/answer/await_commit.h"
#include "http/server/connections.h"
#include "http/admit/cors.h"
#include "http/answer/pages.h"
#include "http/answer/post_events.h"
#include "http/listen/ports.h"
#include "http/answer/prometheus.h"
#include "http/answer/get_metrics.h"
#include "http/answer/ready.h"
#include "http/request_log.h"
#include "http/server/server.h"
#include "http/listen/share_sockets.h"
#include "base/clock.h"
#include "base/settings.h"
#include "worker/worker.h"

#define ACTIVITY_INTERVAL 1000 /* ms between two updates of pg_stat_activity */
#define OTHER_DESCRIPTORS 64   /* that this process needs besides connections */

/* latch, postmaster, connections that come, siblings, and what the server waits for */
#define MAX_EVENTS (4 + MAX_SERVER_FDS)

static Pair *pair;
static Ring **rings; /* of each lane */
static WaitEventSet *wait_set = NULL;
static int accept_fd = -1;

/*
 * Make what the loop waits for
 */
static void
build_wait_set(void)
{
	int fds[MAX_SERVER_FDS];
	int n = ServerFds(fds);

	accept_fd = PortsInit(pair);
	wait_set = CreateProcessWaitEventSet(MAX_EVENTS);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < n; i++)
		AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, fds[i], NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, accept_fd, NULL, NULL);
	if (SiblingsFd() >= 0)
		AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, SiblingsFd(), NULL, NULL);
}

/*
 * A header's value as it can stand in an answer: headers need not be UTF-8
 */
static const char *
header_value(Request *request, const char *name)
{
	static char shown[100];
	const char *value = RequestHeader(request, name);

	strlcpy(shown, value ? value : "", sizeof(shown));
	for (char *c = shown; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return shown;
}

/*
 * Answer a request that is refused by its head
 */
static void
answer_refusal(Request *request)
{
	Reply reply = {0};

	switch (request->refusal)
	{
		case REFUSAL_MALFORMED:
			reply = ReplyError(MHD_HTTP_BAD_REQUEST, "malformed request: %s", request->malformed);
			break;
		case REFUSAL_PARAMETERS:
			reply = ReplyError(MHD_HTTP_BAD_REQUEST, "too many parameters");
			break;
		case REFUSAL_PREFLIGHT:
			reply = ReplyConstant(MHD_HTTP_NO_CONTENT, "");
			break;
		case REFUSAL_OPTIONS:
			reply = ReplyConstant(MHD_HTTP_NO_CONTENT, "");
			reply.allow = "GET, HEAD, POST, OPTIONS";
			break;
		case REFUSAL_ORIGIN:
			reply = ReplyError(MHD_HTTP_FORBIDDEN,
							   "Origin \"%s\" is not one of fast_ingest.cors_origins",
							   header_value(request, "Origin"));
			break;
		case REFUSAL_NOT_FOUND:
			reply = ReplyError(MHD_HTTP_NOT_FOUND, "no such path");
			break;
		case REFUSAL_METHOD:
			reply = ReplyError(MHD_HTTP_METHOD_NOT_ALLOWED, "method is not allowed: expected %s",
							   Routes[request->route].allow);
			reply.allow = Routes[request->route].allow;
			break;
		case REFUSAL_ACCESS:
			reply = AccessRefusal(request);
			break;
		case REFUSAL_HEAD_TOO_LARGE:
			reply = ReplyError(MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
							   "headers are larger than %d bytes", MAX_REQUEST_HEAD_SIZE);
			reply.close = true;
			break;
		case REFUSAL_CONTENT_TYPE:
			reply = ReplyError(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
							   "Content-Type \"%s\" is not supported: expected application/json, "
							   "application/x-ndjson or text/plain, in UTF-8",
							   header_value(request, "Content-Type"));
			break;
		case REFUSAL_CONTENT_ENCODING:
			reply = ReplyError(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
							   "Content-Encoding \"%s\" is not supported: expected gzip, deflate, "
							   "zstd or identity",
							   header_value(request, "Content-Encoding"));
			break;
		case REFUSAL_DAMAGED:
			reply =
				ReplyError(MHD_HTTP_BAD_REQUEST, "body is not what Content-Encoding \"%s\" says",
						   header_value(request, "Content-Encoding"));
			break;
		case REFUSAL_BODY_TOO_LARGE:
			reply = ReplyError(MHD_HTTP_CONTENT_TOO_LARGE,
							   "body is larger than %d kB (fast_ingest.max_body_size)",
							   fi_max_body_size);
			break;
		case REFUSAL_NO_MEMORY:
		case REFUSAL_NONE:
			reply =
				ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
						   "too many large requests at a time (fast_ingest.max_request_memory)");
			break;
	}
	ServerAnswer(request, reply);
}

/*
 * Take one complete request. An error while doing so costs this request only.
 */
static bool
take_request(Request *request)
{
	volatile bool staged = false;

	PG_TRY();
	{
		if (request->refusal != REFUSAL_NONE || !AccessCheckAgain(request))
			answer_refusal(request);
		else if (request->route == ROUTE_HEALTH)
			ServerAnswer(request, ReplyConstant(MHD_HTTP_OK, "{\"status\":\"ok\"}"));
		else if (request->route == ROUTE_READY)
			ReadyRequest(request, pair, rings);
		else if (request->route == ROUTE_OPENAPI)
			ServerAnswer(request, DocsOpenApi());
		else if (request->route == ROUTE_DOCS)
			ServerAnswer(request, DocsPage());
		else if (request->route == ROUTE_PROMETHEUS)
			PrometheusRequest(request);
		else if (request->route == ROUTE_METRICS || request->route == ROUTE_STATS)
			GetMetricsRequest(request);
		else
			staged = PostEventsRequest(request);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopMemoryContext);
		EmitErrorReport();
		FlushErrorState();
		RESUME_INTERRUPTS();
		ServerAnswer(request, ReplyConstant(MHD_HTTP_INTERNAL_SERVER_ERROR,
											"{\"error\":\"internal error: see the server log\"}"));
	}
	PG_END_TRY();
	return staged;
}

/*
 * Take all complete requests and wake the flusher if there is work for it
 */
static void
take_requests(void)
{
	bool staged = false;

	while (!dlist_is_empty(&ServerReadyQueue))
		staged |=
			take_request(dlist_container(Request, node, dlist_pop_head_node(&ServerReadyQueue)));
	if (staged)
		WorkerWake(&pair->flusher);
}

/*
 * Show in pg_stat_activity what the listener does
 */
static void
report_activity(void)
{
	static int64 reported_at = 0;
	static int reported_count = -1;
	char activity[128];
	int count = ServerConnectionCount();

	if (count == reported_count || ServerNow < MonotonicAfter(reported_at, ACTIVITY_INTERVAL))
		return;
	reported_at = ServerNow;
	reported_count = count;
	snprintf(activity, sizeof(activity), "serving HTTP on %s %s, %d connections",
			 fi_listen_addresses, PortsName(), count);
	pgstat_report_activity(STATE_RUNNING, activity);
}

/*
 * How long may this turn wait, in ms? -1 is until something happens.
 */
static long
next_timeout(long sweep)
{
	long timeout = sweep;
	long deadlines[] = {ServerPatience(), AwaitNextDeadline(), GetMetricsNextDeadline(),
						WorkerShutdownRequested ? 50 : PortsNextTry()};

	for (int i = 0; i < (int) lengthof(deadlines); i++)
		if (deadlines[i] >= 0 && (timeout < 0 || deadlines[i] < timeout))
			timeout = deadlines[i];
	return timeout;
}

/*
 * One turn of the loop
 */
static void
serve(void)
{
	WaitEvent events[MAX_EVENTS];
	int nevents;
	long timeout = next_timeout(ConnectionsSweep());

	nevents = WaitEventSetWait(wait_set, timeout, events, lengthof(events), PG_WAIT_EXTENSION);
	ServerNow = MonotonicNow();
	for (int i = 0; i < nevents; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (events[i].fd == accept_fd)
			PortsAccept();
		else if (events[i].fd == SiblingsFd())
			PortsServeSiblings();
	}
	ServerRun();
	if (AwaitAnswer() > 0)
		ServerRun();
	take_requests();
	GetMetricsComplete();
	RequestLogWrite();
}

/*
 * End in order: no new connections, answers for all that is staged, and the
 * flusher told when to stop waiting for us by our leaving
 */
static void
drain(void)
{
	ereport(LOG, (errmsg("fast_ingest listener is draining %d requests", RequestCount())));
	WorkerSetState(&pair->listener, WORKER_DRAINING, "the server is shutting down");
	PostEventsClose("the server is shutting down");
	GetMetricsClose("the server is shutting down");
	PortsClose();
	ServerDrain();

	while (RequestCount() > 0 && WorkerDrainTimeLeft() > 0 &&
		   pg_atomic_read_u32(&pair->flusher.state) != WORKER_STOPPED)
	{
		(void) WorkerHandleInterrupts();
		serve();
	}
	AwaitAbandon("the server shut down before the event was committed");
	ServerRun();
	ServerRun(); /* what was answered in one run ends in the next */
	if (RequestCount() == 0)
		ServerStop();
	else
		ServerAbandon();
	RequestLogWrite();
	proc_exit(1);
}

/*
 * Ask for a descriptor for every connection, and say so if we do not get them
 */
static void
raise_descriptor_limit(void)
{
	rlim_t needed = (rlim_t) fi_max_connections + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
		limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = Min(needed, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
		ereport(LOG,
				(errmsg("fast_ingest.max_connections is %d, but only %ld descriptors are allowed",
						fi_max_connections, (long) limit.rlim_cur),
				 errhint("Raise the limit of open files (ulimit -n).")));
}

void
ListenerMain(Datum arg)
{
	pair = &Shared->pairs[DatumGetInt32(arg)];
	rings = StagingRings[DatumGetInt32(arg)];
	WorkerStart(&pair->listener, NULL);
	SiblingsInit(DatumGetInt32(arg));
	RequestCountInit(pair);
	/* Without a database the encoding would be SQL_ASCII; the flusher insists on UTF8. */
	SetDatabaseEncoding(PG_UTF8);
	PostEventsInit(pair, rings);
	CorsReadSettings();
	RequestLogInit();
	GetMetricsInit(pair);
	AccessInit();
	raise_descriptor_limit();
	ServerNow = MonotonicNow();
	if (!ServerStart())
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not start libmicrohttpd")));
	build_wait_set();

	while (!WorkerShutdownRequested)
	{
		if (WorkerHandleInterrupts())
		{
			PostEventsReadSettings();
			LimitReadSettings();
			CorsReadSettings();
			PortsReadSettings();
		}
		PortsOpen();
		report_activity();
		serve();
	}
	drain();
}
