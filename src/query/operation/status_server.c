/*
 * status_server.c
 */
#include "postgres.h"

#include "query/operation/status_server.h"

#include "utils/json.h"

#include "base/clock.h"
#include "base/settings.h"
#include "query/answers/write_json.h"
#include "shared/shared_state.h"
#include "shared/staging_rings.h"

#define MICROSECONDS 1e6 /* of a second */

/*
 * Write how often each status code was answered, of those that were
 */
static void
write_requests(StringInfo text, const uint64 counts[COUNTED_CODES])
{
	const char *comma = "";

	appendStringInfoString(text, "\"requests\":{");
	for (int code = 0; code < COUNTED_CODES; code++)
	{
		if (counts[code] == 0)
			continue;
		if (code < COUNTED_CODES - 1)
			appendStringInfo(text, "%s\"%u\":", comma, CountedStatusCodes[code]);
		else
			appendStringInfo(text, "%s\"other\":", comma);
		appendStringInfo(text, UINT64_FORMAT, counts[code]);
		comma = ",";
	}
	appendStringInfoChar(text, '}');
}

/*
 * Write how many durations a histogram has, and which the slowest exceed, in seconds
 */
static void
write_durations(StringInfo text, const HistogramTotal *total)
{
	static const struct
	{
		const char *name;
		double share;
	} quantiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};
	uint64 count = HistogramTotalCount(total);

	appendStringInfo(text, "\"count\":" UINT64_FORMAT, count);
	for (int i = 0; i < (int) lengthof(quantiles); i++)
		if (count == 0)
			appendStringInfo(text, ",\"%s\":null", quantiles[i].name);
		else
			appendStringInfo(text, ",\"%s\":%.6g", quantiles[i].name,
							 HistogramTotalQuantile(total, DurationBounds, quantiles[i].share) /
								 MICROSECONDS);
}

static void
write_latency(StringInfo text, const char *name, const HistogramTotal *total)
{
	appendStringInfo(text, "\"%s\":{", name);
	write_durations(text, total);
	appendStringInfoChar(text, '}');
}

/*
 * Write the requests of each path, of those that were asked for
 */
static void
write_routes(StringInfo text)
{
	const char *comma = "";

	appendStringInfoString(text, "\"paths\":[");
	for (int route = 0; route <= NUM_ROUTES; route++)
	{
		HistogramTotal total = SharedSumHistograms(offsetof(Pair, counters.durations[route]));
		uint64 counts[COUNTED_CODES];

		if (HistogramTotalCount(&total) == 0)
			continue;
		for (int code = 0; code < COUNTED_CODES; code++)
			counts[code] = SharedSumCounters(offsetof(Pair, counters.requests[route][code]));
		if (route < NUM_ROUTES)
			appendStringInfo(text, "%s{\"path\":\"%s\",", comma, RoutePaths[route]);
		else
			appendStringInfo(text, "%s{\"path\":null,\"other\":true,", comma);
		write_requests(text, counts);
		appendStringInfoChar(text, ',');
		write_durations(text, &total);
		appendStringInfoChar(text, '}');
		comma = ",";
	}
	appendStringInfoChar(text, ']');
}

static void
write_http(StringInfo text)
{
	uint64 counts[COUNTED_CODES] = {0};
	uint64 connections = 0;
	uint64 waiting = 0;

	for (int route = 0; route <= NUM_ROUTES; route++)
		for (int code = 0; code < COUNTED_CODES; code++)
			counts[code] += SharedSumCounters(offsetof(Pair, counters.requests[route][code]));
	for (int i = 0; i < fi_listeners; i++)
	{
		connections += pg_atomic_read_u32(&Shared->pairs[i].connections);
		waiting += pg_atomic_read_u32(&Shared->pairs[i].waiting_queries);
	}
	appendStringInfo(text,
					 "\"connections\":" UINT64_FORMAT ",\"max_connections\":%d"
					 ",\"connections_refused\":" UINT64_FORMAT
					 ",\"requests_aborted\":" UINT64_FORMAT ",\"questions_waiting\":" UINT64_FORMAT
					 ",\"request_bytes\":" UINT64_FORMAT ",\"response_bytes\":" UINT64_FORMAT ",",
					 connections, fi_max_connections,
					 SharedSumCounters(offsetof(Pair, counters.refused)),
					 SharedSumCounters(offsetof(Pair, counters.aborted)), waiting,
					 SharedSumCounters(offsetof(Pair, counters.request_bytes)),
					 SharedSumCounters(offsetof(Pair, counters.response_bytes)));
	write_requests(text, counts);
	appendStringInfoChar(text, ',');
	write_routes(text);
}

/*
 * Sum up the durations of the requests of some routes
 */
static HistogramTotal
sum_routes(RouteId first, RouteId last)
{
	HistogramTotal sum = {0};

	for (int route = first; route <= (int) last; route++)
		for (int i = 0; i < fi_listeners; i++)
			HistogramTotalAdd(&sum, &Shared->pairs[i].counters.durations[route]);
	return sum;
}

static void
write_latencies(StringInfo text)
{
	HistogramTotal ingest = sum_routes(ROUTE_EVENTS, ROUTE_EVENT);
	HistogramTotal questions = sum_routes(ROUTE_METRICS, ROUTE_STATS);
	HistogramTotal waits = SharedSumHistograms(offsetof(Pair, counters.commit_waits));
	HistogramTotal commits = SharedSumHistograms(offsetof(Pair, commits));

	write_latency(text, "ingest", &ingest);
	appendStringInfoChar(text, ',');
	write_latency(text, "questions", &questions);
	appendStringInfoChar(text, ',');
	write_latency(text, "commit_wait", &waits);
	appendStringInfoChar(text, ',');
	write_latency(text, "commit", &commits);
}

static void
write_lane(StringInfo text, int listener, Lane lane)
{
	Ring *ring = StagingRings[listener][lane];
	uint64 committed = RingCommitted(ring);
	int64 oldest = RingOldestStaged(ring);

	appendStringInfo(text,
					 "{\"listener\":%d,\"lane\":\"%s\",\"events\":" UINT64_FORMAT
					 ",\"bytes\":" UINT64_FORMAT ",\"size_bytes\":" UINT64_FORMAT
					 ",\"oldest_seconds\":%.6g,\"table_refuses_all\":%s}",
					 listener + 1, lane == LANE_TODAY ? "today" : "other_days",
					 RingStagedRecords(ring), RingPublished(ring) - committed, (uint64) ring->size,
					 oldest == 0 ? 0 : Max(MonotonicNow() - oldest, 0) / MICROSECONDS,
					 pg_atomic_read_u32(&Shared->pairs[listener].refuses_all) ? "true" : "false");
}

static void
write_staging(StringInfo text)
{
	for (int i = 0; i < fi_listeners; i++)
		for (int lane = 0; lane < NUM_LANES; lane++)
		{
			if (i > 0 || lane > 0)
				appendStringInfoChar(text, ',');
			write_lane(text, i, lane);
		}
}

static void
write_rollup(StringInfo text)
{
	uint64 deltas = pg_atomic_read_u64(&Shared->backlog_deltas);
	int64 since = (int64) pg_atomic_read_u64(&Shared->backlog_since);
	TimestampTz last = (TimestampTz) pg_atomic_read_u64(&Shared->last_refresh);
	HistogramTotal refreshes = {0};

	HistogramTotalAdd(&refreshes, &Shared->refreshes);
	appendStringInfo(text,
					 "\"backlog_events\":" UINT64_FORMAT ",\"backlog_deltas\":" UINT64_FORMAT
					 ",\"oldest_seconds\":%.6g,\"refreshes_failed\":" UINT64_FORMAT
					 ",\"last_refresh\":",
					 pg_atomic_read_u64(&Shared->backlog), deltas,
					 deltas == 0 ? 0 : Max(MonotonicNow() - since, 0) / MICROSECONDS,
					 pg_atomic_read_u64(&Shared->refreshes_failed));
	if (last == 0)
		appendStringInfoString(text, "null");
	else
		WriteTime(text, last);
	appendStringInfoChar(text, ',');
	write_latency(text, "refresh", &refreshes);
}

void
StatusServerAppend(StringInfo text)
{
	appendStringInfoString(text, ",\"http\":{");
	write_http(text);
	appendStringInfoString(text, "},\"latency\":{");
	write_latencies(text);
	appendStringInfoString(text, "},\"staging\":[");
	write_staging(text);
	appendStringInfoString(text, "],\"rollup\":{");
	write_rollup(text);
	appendStringInfoChar(text, '}');
}
