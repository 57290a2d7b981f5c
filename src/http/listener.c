/*
 * listener.c
 *
 * The listener worker: one event loop that waits for its latch, the postmaster's death,
 * the listening sockets and libmicrohttpd's epoll descriptors. It has no database and
 * runs no SQL.
 *
 * In each turn it lets libmicrohttpd read and write, answers the requests whose events are
 * committed, handles the complete requests, which stages their events, and wakes the
 * flusher; then it passes queries to query workers and their answers to clients.
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

#include "base/clock.h"
#include "base/compat.h"
#include "base/error_json.h"
#include "base/settings.h"
#include "http/admit/admission.h"
#include "http/admit/cors.h"
#include "http/admit/refusal.h"
#include "http/answer/await_commit.h"
#include "http/answer/health.h"
#include "http/answer/key.h"
#include "http/answer/post_events.h"
#include "http/answer/prometheus.h"
#include "http/answer/query_requests.h"
#include "http/answer/ready.h"
#include "http/export/export_requests.h"
#include "http/listen/ports.h"
#include "http/listen/share_sockets.h"
#include "http/pages/pages.h"
#include "http/request_log.h"
#include "http/server/connection.h"
#include "http/server/request_count.h"
#include "http/server/request_identity.h"
#include "http/server/server.h"
#include "shared/key_image.h"
#include "worker/worker.h"

#define ACTIVITY_INTERVAL 1000 /* ms between two updates of pg_stat_activity */
#define OTHER_DESCRIPTORS 64   /* that this process needs besides connections */

/* latch, postmaster, new connections, siblings, and what the server waits for */
#define MAX_EVENTS (4 + MAX_SERVER_FDS)

static Pair *pair;
static Ring **rings; /* one for each lane */
static WaitEventSet *wait_set = NULL;
static int accept_fd = -1;

static const ServerCallbacks callbacks = {
	.check_head = AdmissionCheckHead,
	.add_headers = AdmissionAddHeaders,
	.request_ended = RequestLogAdd,
};

/*
 * Make the set of events that the loop waits for
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
 * Handle a complete request. Returns true if it has staged events.
 */
static bool
handle_request(Request *request)
{
	if (!AdmissionCheckComplete(request))
	{
		ServerAnswer(request, RefusalReply(request));
		return false;
	}
	switch (request->route)
	{
		case ROUTE_EVENTS:
		case ROUTE_BULK:
		case ROUTE_EVENT:
			return PostEventsHandle(request);
		case ROUTE_HEALTH:
			HealthHandle(request);
			break;
		case ROUTE_READY:
			ReadyHandle(request, pair, rings);
			break;
		case ROUTE_METRICS:
		case ROUTE_SERIES:
		case ROUTE_OVERVIEW:
		case ROUTE_EVENT_NAMES:
		case ROUTE_LIVE:
		case ROUTE_STATS:
		case ROUTE_STATUS:
		case ROUTE_RETRY:
			QueryRequestsHandle(request);
			break;
		case ROUTE_EXPORT:
			ExportRequestsHandle(request);
			break;
		case ROUTE_PROMETHEUS:
			PrometheusHandle(request);
			break;
		case ROUTE_KEY:
			KeyHandle(request);
			break;
		case ROUTE_OPENAPI:
		case ROUTE_DOCS:
		case ROUTE_DASHBOARD:
			PagesHandle(request);
			break;
		case NUM_ROUTES:
			pg_unreachable(); /* such a request is refused */
	}
	return false;
}

/*
 * Handle a complete request. An error fails this request only.
 */
static bool
try_request(Request *request)
{
	volatile bool staged = false;

	PG_TRY();
	{
		staged = handle_request(request);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopMemoryContext);
		EmitErrorReport();
		FlushErrorState();
		RESUME_INTERRUPTS();
		ServerAnswer(request, ReplyConstant(MHD_HTTP_INTERNAL_SERVER_ERROR,
											ERROR_JSON("internal error: see the server log")));
	}
	PG_END_TRY();
	return staged;
}

/*
 * Handle all complete requests, and wake the flusher if there is work for it
 */
static void
handle_requests(void)
{
	bool staged = false;

	while (!dlist_is_empty(&ServerReadyQueue))
		staged |=
			try_request(dlist_container(Request, node, dlist_pop_head_node(&ServerReadyQueue)));
	if (staged)
		WorkerWake(&pair->flusher);
}

/*
 * Show in pg_stat_activity what the listener does, if that has changed
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
 * How many milliseconds may this turn wait? -1: until something happens.
 */
static long
compute_timeout(long sweep)
{
	long timeout = sweep;
	long deadlines[] = {ServerPatience(), AwaitCommitNextDeadline(), QueryRequestsNextDeadline(),
						ExportRequestsNextDeadline(),
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
run_turn(void)
{
	WaitEvent events[MAX_EVENTS];
	int nevents;
	long timeout = compute_timeout(ConnectionsSweep(ServerNow));

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
	if (AwaitCommitAnswer() > 0)
		ServerRun();
	SiblingsReport(ServerConnectionCount());
	handle_requests();
	QueryRequestsProcess();
	ExportRequestsProcess();
	RequestLogWrite();
}

/*
 * End in order: take no new connections, and answer all requests whose events are staged. The
 * flusher stops when it sees that we have left.
 */
static void
drain_and_exit(void)
{
	ereport(LOG, (errmsg("fast_ingest listener is draining %d requests", RequestsOpen())));
	WorkerSetState(&pair->listener, WORKER_DRAINING, "the server is shutting down");
	PostEventsClose("the server is shutting down");
	QueryRequestsClose("the server is shutting down");
	ExportRequestsClose("the server is shutting down");
	PortsClose();
	ServerDrain();

	while (RequestsOpen() > 0 && WorkerDrainTimeLeft() > 0 &&
		   pg_atomic_read_u32(&pair->flusher.state) != WORKER_STOPPED)
	{
		(void) WorkerHandleInterrupts();
		run_turn();
	}
	AwaitCommitAbandon("the server shut down before the event was committed");
	ServerRun();
	ServerRun(); /* a request that is answered in one run ends in the next */
	if (RequestsOpen() == 0)
		ServerStop();
	else
		ServerAbandon();
	RequestLogWrite();
	proc_exit(1);
}

/*
 * Ask the system for a descriptor for every connection; log it if we do not get them
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
	/* without a database the encoding would be SQL_ASCII; the flusher's must be UTF8 */
	SetDatabaseEncoding(PG_UTF8);
	PostEventsInit(pair, rings);
	CorsReadSettings();
	RequestIdentityInit();
	QueryRequestsInit(pair);
	ExportRequestsInit();
	KeyImageAttach();
	raise_descriptor_limit();
	ServerNow = MonotonicNow();
	if (!ServerStart(&callbacks))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not start libmicrohttpd")));
	build_wait_set();

	while (!WorkerShutdownRequested)
	{
		if (WorkerHandleInterrupts())
		{
			PostEventsReadSettings();
			RequestIdentityReadSettings();
			CorsReadSettings();
			PortsReadSettings();
		}
		PortsOpen();
		report_activity();
		run_turn();
	}
	drain_and_exit();
}
