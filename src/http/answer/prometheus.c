/*
 * prometheus.c
 *
 * Names follow the conventions of Prometheus: base units, and _total for numbers that only grow.
 * Every listener shows the sums over all listeners, so it does not matter which one is asked. A
 * number that could hide a full pair in a sum has a label for the pair instead. All values of
 * labels come from fast_ingest and its administrator, not from clients, so there are few.
 *
 * All metrics exist from the start, so that a first increase can be seen. Only points in time
 * are missing until they come, and streams until they are made.
 */
#include "postgres.h"

#include "http/answer/prometheus.h"

#include <microhttpd.h>

#include "access/xlog.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "db/extension_version.h"
#include "http/answer/prometheus_streams.h"
#include "http/answer/prometheus_text.h"
#include "http/server/request_count.h"
#include "http/server/server.h"
#include "shared/query_slot.h"
#include "shared/stream_slot.h"

/* A metric that is the sum of a counter over all pairs. */
typedef struct
{
	const char *name;
	const char *help;
	size_t offset; /* in Pair */
} PairCounter;

/* A metric that is the sum of a histogram over all pairs. */
typedef struct
{
	const char *name;
	const char *help;
	size_t offset;
	const int64 *bounds;
	double unit; /* how many units in shared memory make 1 unit of the metric */
} PairHistogram;

static const PairCounter pair_counters[] = {
	{"fast_ingest_http_requests_aborted_total", "Requests that ended without an answer.",
	 offsetof(Pair, counters.aborted)},
	{"fast_ingest_http_connections_refused_total",
	 "Connections beyond fast_ingest.max_connections.", offsetof(Pair, counters.refused)},
	{"fast_ingest_http_request_body_bytes_total", "Bytes of request bodies as they came.",
	 offsetof(Pair, counters.request_bytes)},
	{"fast_ingest_http_response_body_bytes_total", "Bytes of the bodies of answers.",
	 offsetof(Pair, counters.response_bytes)},
	{"fast_ingest_events_received_total", "Events of requests that could be read.",
	 offsetof(Pair, received)},
	{"fast_ingest_dead_letters_dropped_total",
	 "Oldest dead letters deleted to keep fast_ingest.max_dead_letters.",
	 offsetof(Pair, dead_letters_dropped)},
};

static const PairHistogram pair_histograms[] = {
	{"fast_ingest_commit_wait_seconds",
	 "Time from the staging of a request's events until its listener saw their commit.",
	 offsetof(Pair, counters.commit_waits), DurationBounds, MICROSECONDS},
	{"fast_ingest_commit_duration_seconds",
	 "Time of a flusher's transaction that stored events, its commit included.",
	 offsetof(Pair, commits), DurationBounds, MICROSECONDS},
	{"fast_ingest_batch_events", "Events of such a transaction; a dead letter has one of its own.",
	 offsetof(Pair, batches), EventBounds, 1},
};

static const char *
name_route(int route)
{
	return route < NUM_ROUTES ? RoutePaths[route] : "other";
}

static void
append_requests(StringInfo out)
{
	const char *name = "fast_ingest_http_requests_total";

	PrometheusTextFamily(out, name, "counter", "Requests answered, by path and status code.");
	for (int route = 0; route <= NUM_ROUTES; route++)
		for (int code = 0; code < COUNTED_CODES; code++)
		{
			appendStringInfo(out, "%s{route=\"%s\",code=\"", name, name_route(route));
			if (code < COUNTED_CODES - 1)
				appendStringInfo(out, "%u", CountedStatusCodes[code]);
			else
				appendStringInfoString(out, "other");
			appendStringInfo(out, "\"} " UINT64_FORMAT "\n",
							 SharedSumCounters(offsetof(Pair, counters.requests[route][code])));
		}

	name = "fast_ingest_http_request_duration_seconds";
	PrometheusTextFamily(out, name, "histogram",
						 "Time from a request's first line until its answer was sent, by path.");
	for (int route = 0; route <= NUM_ROUTES; route++)
	{
		HistogramTotal total = SharedSumHistograms(offsetof(Pair, counters.durations[route]));

		PrometheusTextHistogram(out, name, name_route(route), &total, DurationBounds, MICROSECONDS);
	}
}

/*
 * What became of events. These counters are read before that of received events, so that their
 * sum is never larger.
 */
static void
append_events(StringInfo out)
{
	static const struct
	{
		const char *name;
		size_t offset; /* in Pair */
	} outcomes[] = {
		{"committed", offsetof(Pair, committed)}, {"duplicate", offsetof(Pair, duplicate)},
		{"discarded", offsetof(Pair, discarded)}, {"dead_lettered", offsetof(Pair, dead_lettered)},
		{"rejected", offsetof(Pair, rejected)},
	};
	const char *name = "fast_ingest_events_total";

	PrometheusTextFamily(
		out, name, "counter",
		"Events by what became of them: stored, stored before, discarded by a BEFORE trigger, "
		"refused by the database, not taken (not valid, beyond a rate limit, staging full).");
	for (int i = 0; i < (int) lengthof(outcomes); i++)
		appendStringInfo(out, "%s{outcome=\"%s\"} " UINT64_FORMAT "\n", name, outcomes[i].name,
						 SharedSumCounters(outcomes[i].offset));
}

static void
append_connections(StringInfo out)
{
	uint64 connections = 0;
	uint64 waiting = 0;

	for (int i = 0; i < fi_listeners; i++)
	{
		connections += pg_atomic_read_u32(&Shared->pairs[i].connections);
		waiting += pg_atomic_read_u32(&Shared->pairs[i].waiting_queries);
	}
	PrometheusTextValue(out, "fast_ingest_http_connections", "gauge", "Connections open now.",
						connections);
	PrometheusTextValue(out, "fast_ingest_http_connections_limit", "gauge",
						"fast_ingest.max_connections.", fi_max_connections);
	PrometheusTextValue(out, "fast_ingest_questions_waiting", "gauge",
						"Questions that wait for a query worker.", waiting);
}

/*
 * Append a metric of each lane of each pair
 */
static void
append_ring(StringInfo out, const char *name, const char *help, double (*value)(Ring *))
{
	PrometheusTextFamily(out, name, "gauge", help);
	for (int i = 0; i < fi_listeners; i++)
		for (int lane = 0; lane < NUM_LANES; lane++)
			appendStringInfo(out, "%s{pair=\"%d\",lane=\"%s\"} %.15g\n", name, i + 1,
							 lane == LANE_TODAY ? "today" : "other_days",
							 value(StagingRings[i][lane]));
}

static double
count_staged_bytes(Ring *ring)
{
	uint64 committed = RingCommitted(ring);

	return (double) (RingPublished(ring) - committed);
}

static double
get_ring_size(Ring *ring)
{
	return (double) ring->size;
}

static double
count_staged_events(Ring *ring)
{
	return (double) RingStagedRecords(ring);
}

static double
get_oldest_age(Ring *ring)
{
	int64 oldest = RingOldestStaged(ring);

	return oldest == 0 ? 0 : Max(ServerNow - oldest, 0) / MICROSECONDS;
}

static void
append_staging(StringInfo out)
{
	append_ring(out, "fast_ingest_staging_bytes",
				"Staging in use by events that are not committed.", count_staged_bytes);
	append_ring(out, "fast_ingest_staging_size_bytes", "fast_ingest.staging_size.", get_ring_size);
	append_ring(out, "fast_ingest_staged_events", "Events that wait for their commit.",
				count_staged_events);
	append_ring(out, "fast_ingest_oldest_staged_seconds",
				"For how long the oldest of them has waited; 0 without one.", get_oldest_age);
	PrometheusTextFamily(
		out, "fast_ingest_table_refuses_all", "gauge",
		"1 while the table refuses every event, also one like those it took before.");
	for (int i = 0; i < fi_listeners; i++)
		appendStringInfo(out, "fast_ingest_table_refuses_all{pair=\"%d\"} %u\n", i + 1,
						 pg_atomic_read_u32(&Shared->pairs[i].refuses_all));
}

static void
append_refresh(StringInfo out)
{
	const char *name = "fast_ingest_refresh_duration_seconds";
	HistogramTotal total = {0};

	PrometheusTextValue(out, "fast_ingest_delta_backlog_events", "gauge",
						"Events that wait for a refresh of the rollup, more or less.",
						pg_atomic_read_u64(&Shared->backlog));
	PrometheusTextFamily(out, name, "histogram",
						 "Time of a refresh of the rollup that was committed.");
	HistogramTotalAdd(&total, &Shared->refreshes);
	PrometheusTextHistogram(out, name, NULL, &total, DurationBounds, MICROSECONDS);
	PrometheusTextValue(out, "fast_ingest_refresh_failures_total", "counter",
						"Refreshes of the rollup that failed or were rolled back.",
						pg_atomic_read_u64(&Shared->refreshes_failed));
	PrometheusTextMoment(out, "fast_ingest_last_refresh_timestamp_seconds",
						 "When the rollup was last refreshed, since the server started.",
						 (TimestampTz) pg_atomic_read_u64(&Shared->last_refresh));
}

static double
is_up(WorkerSlot *worker)
{
	return pg_atomic_read_u32(&worker->state) == WORKER_RUNNING;
}

static double
count_restarts(WorkerSlot *worker)
{
	uint64 starts = pg_atomic_read_u64(&worker->starts);

	return starts == 0 ? 0 : starts - 1;
}

/*
 * Append a metric of each worker, by the names that fi_status() shows
 */
static void
append_worker(StringInfo out, const char *name, const char *type, const char *help,
			  double (*value)(WorkerSlot *))
{
	PrometheusTextFamily(out, name, type, help);
	for (int i = 0; i < fi_listeners; i++)
	{
		Pair *pair = &Shared->pairs[i];

		appendStringInfo(out, "%s{worker=\"listener %d\"} %.15g\n", name, i + 1,
						 value(&pair->listener));
		appendStringInfo(out, "%s{worker=\"flusher %d\"} %.15g\n", name, i + 1,
						 value(&pair->flusher));
	}
	for (int i = 0; i < fi_query_workers; i++)
		appendStringInfo(out, "%s{worker=\"query %d\"} %.15g\n", name, i + 1,
						 value(&QuerySlots[i].worker));
	for (int i = 0; i < fi_max_streams; i++)
		appendStringInfo(out, "%s{worker=\"stream %d\"} %.15g\n", name, i + 1,
						 value(&StreamSlots[i].worker));
	appendStringInfo(out, "%s{worker=\"maintenance\"} %.15g\n", name, value(&Shared->maintenance));
}

static void
append_server(StringInfo out)
{
	const char *name = "fast_ingest_build_info";

	append_worker(out, "fast_ingest_worker_up", "gauge", "1 while the worker runs, 0 else.", is_up);
	append_worker(out, "fast_ingest_worker_restarts_total", "counter",
				  "Starts of the worker after its first one.", count_restarts);
	PrometheusTextValue(out, "fast_ingest_standby", "gauge", "1 on a standby, 0 else.",
						RecoveryInProgress());
	PrometheusTextFamily(out, name, "gauge", "1, with the versions of the library and the server.");
	appendStringInfo(out, "%s{version=\"%s\",postgresql=", name, LibraryVersion);
	PrometheusTextQuote(out, GetConfigOption("server_version", false, false));
	appendStringInfoString(out, "} 1\n");
}

static void
append_all(StringInfo out)
{
	TimestampTz last_commit = 0;

	append_requests(out);
	append_events(out);
	for (int i = 0; i < (int) lengthof(pair_counters); i++)
		PrometheusTextValue(out, pair_counters[i].name, "counter", pair_counters[i].help,
							SharedSumCounters(pair_counters[i].offset));
	for (int i = 0; i < (int) lengthof(pair_histograms); i++)
	{
		const PairHistogram *histogram = &pair_histograms[i];
		HistogramTotal total = SharedSumHistograms(histogram->offset);

		PrometheusTextFamily(out, histogram->name, "histogram", histogram->help);
		PrometheusTextHistogram(out, histogram->name, NULL, &total, histogram->bounds,
								histogram->unit);
	}
	for (int i = 0; i < fi_listeners; i++)
		last_commit =
			Max(last_commit, (TimestampTz) pg_atomic_read_u64(&Shared->pairs[i].last_commit));
	PrometheusTextMoment(out, "fast_ingest_last_commit_timestamp_seconds",
						 "When events were last committed, since the server started.", last_commit);
	append_connections(out);
	append_staging(out);
	append_refresh(out);
	PrometheusStreamsAppend(out);
	append_server(out);
}

void
PrometheusHandle(Request *request)
{
	static MemoryContext context = NULL;
	MemoryContext caller;
	StringInfoData out;
	Reply reply;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "fast_ingest prometheus",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(context); /* a request that ended by an error leaves memory behind */
	caller = MemoryContextSwitchTo(context);
	initStringInfo(&out);
	append_all(&out);
	reply = ReplyText(MHD_HTTP_OK, out.data, out.len);
	if (reply.status == MHD_HTTP_OK)
		reply.type = PROMETHEUS_TEXT_TYPE;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(context);
	ServerAnswer(request, reply);
}
