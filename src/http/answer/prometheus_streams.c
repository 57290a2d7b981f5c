/*
 * prometheus_streams.c
 *
 * A series of each metric for each stream that a worker serves, with the stream's name and kind
 * as labels. There are at most MAX_STREAMS streams, whose names only the administrator gives. On
 * a standby, and where no stream was made, no worker serves one.
 */
#include "postgres.h"

#include "http/answer/prometheus_streams.h"

#include "utils/timestamp.h"

#include "http/answer/prometheus_text.h"
#include "shared/stream_slot.h"

/* A metric that is a number in a stream's slot. */
typedef struct
{
	const char *name;
	const char *type;
	const char *help;
	size_t offset; /* in StreamSlot */
} StreamNumber;

static const StreamNumber numbers[] = {
	{"fast_ingest_stream_lag_events", "gauge",
	 "Events that were read from WAL and that the target has not acknowledged.",
	 offsetof(StreamSlot, lag_events)},
	{"fast_ingest_stream_lag_bytes", "gauge", "WAL from the position of the target to the end.",
	 offsetof(StreamSlot, lag_bytes)},
	{"fast_ingest_stream_retained_bytes", "gauge",
	 "Disk that the stream holds: WAL behind its slot, and its files.",
	 offsetof(StreamSlot, retained_bytes)},
	{"fast_ingest_stream_retained_limit_bytes", "gauge",
	 "max_retained_wal of the stream: beyond it the stream is lost.",
	 offsetof(StreamSlot, retained_limit)},
	{"fast_ingest_stream_backfill_left_events", "gauge",
	 "Events that backfills have yet to send, estimated.", offsetof(StreamSlot, backfill_left)},
	{"fast_ingest_stream_sent_events_total", "counter", "Events that the target acknowledged.",
	 offsetof(StreamSlot, events_sent)},
	{"fast_ingest_stream_sent_bytes_total", "counter", "Bytes of bodies, as they were sent.",
	 offsetof(StreamSlot, bytes_sent)},
	{"fast_ingest_stream_sent_batches_total", "counter", "Batches that the target acknowledged.",
	 offsetof(StreamSlot, batches_sent)},
	{"fast_ingest_stream_retries_total", "counter", "Requests that were repeated.",
	 offsetof(StreamSlot, retries)},
	{"fast_ingest_stream_doubts_total", "counter",
	 "Requests of which it was not known whether they had an effect.",
	 offsetof(StreamSlot, doubts)},
	{"fast_ingest_stream_dead_letters_total", "counter",
	 "Events that the target refuses and that became dead letters.",
	 offsetof(StreamSlot, dead_letters)},
	{"fast_ingest_stream_ignored_changes_total", "counter",
	 "Updated and deleted rows, which are not streamed.", offsetof(StreamSlot, ignored_changes)},
};

/* A stream, and the slot of the worker that serves it. */
typedef struct
{
	StreamSlot *slot;
	StreamServed served;
} StreamSeries;

static int
find_streams(StreamSeries series[MAX_STREAMS])
{
	int n = 0;

	for (int i = 0; i < fi_max_streams; i++)
	{
		series[n].slot = &StreamSlots[i];
		if (StreamSlotServed(series[n].slot, &series[n].served))
			n++;
	}
	return n;
}

/*
 * Append name{stream="...",kind="..." without the brace that ends the labels
 */
static void
append_labels(StringInfo out, const char *name, const StreamSeries *series)
{
	appendStringInfo(out, "%s{stream=", name);
	PrometheusTextQuote(out, series->served.name);
	appendStringInfoString(out, ",kind=");
	PrometheusTextQuote(out, series->served.kind);
}

static uint64
read_number(StreamSlot *slot, size_t offset)
{
	return pg_atomic_read_u64((pg_atomic_uint64 *) ((char *) slot + offset));
}

static void
append_numbers(StringInfo out, const StreamSeries *series, int n)
{
	for (int i = 0; i < (int) lengthof(numbers); i++)
	{
		const StreamNumber *number = &numbers[i];

		PrometheusTextFamily(out, number->name, number->type, number->help);
		for (int s = 0; s < n; s++)
		{
			append_labels(out, number->name, &series[s]);
			appendStringInfo(out, "} " UINT64_FORMAT "\n",
							 read_number(series[s].slot, number->offset));
		}
	}
}

static void
append_states(StringInfo out, const StreamSeries *series, int n)
{
	const char *name = "fast_ingest_stream_state";

	PrometheusTextFamily(out, name, "gauge", "1 for the state that the stream is in, 0 else.");
	for (int s = 0; s < n; s++)
	{
		uint32 is = pg_atomic_read_u32(&series[s].slot->state);

		for (StreamState state = STREAM_WAITING; state < NUM_STREAM_STATES; state++)
		{
			append_labels(out, name, &series[s]);
			appendStringInfo(out, ",state=\"%s\"} %d\n", StreamStateName(state), state == is);
		}
	}
}

static void
append_lag_seconds(StringInfo out, const StreamSeries *series, int n)
{
	const char *name = "fast_ingest_stream_lag_seconds";
	TimestampTz now = GetCurrentTimestamp();

	PrometheusTextFamily(out, name, "gauge",
						 "Time since the commit of the oldest event that the target has not "
						 "acknowledged; 0 without one.");
	for (int s = 0; s < n; s++)
	{
		TimestampTz oldest = (TimestampTz) pg_atomic_read_u64(&series[s].slot->oldest_unsent);

		append_labels(out, name, &series[s]);
		appendStringInfo(out, "} %.15g\n", oldest == 0 ? 0 : Max(now - oldest, 0) / MICROSECONDS);
	}
}

static TimestampTz
get_last_sent(const StreamSeries *series)
{
	return (TimestampTz) pg_atomic_read_u64(&series->slot->last_sent);
}

static TimestampTz
get_last_error(const StreamSeries *series)
{
	return series->served.last_error_at;
}

/*
 * Append a point in time of each stream that has one
 */
static void
append_moment(StringInfo out, const char *name, const char *help,
			  TimestampTz (*get)(const StreamSeries *), const StreamSeries *series, int n)
{
	PrometheusTextFamily(out, name, "gauge", help);
	for (int s = 0; s < n; s++)
	{
		TimestampTz moment = get(&series[s]);

		if (moment == 0)
			continue;
		append_labels(out, name, &series[s]);
		appendStringInfo(out, "} %.6f\n", PrometheusTextSeconds(moment));
	}
}

void
PrometheusStreamsAppend(StringInfo out)
{
	StreamSeries series[MAX_STREAMS];
	int n = find_streams(series);

	if (n == 0)
		return;
	append_states(out, series, n);
	append_lag_seconds(out, series, n);
	append_numbers(out, series, n);
	append_moment(out, "fast_ingest_stream_last_sent_timestamp_seconds",
				  "When the target last acknowledged a batch, since the server started.",
				  get_last_sent, series, n);
	append_moment(out, "fast_ingest_stream_last_error_timestamp_seconds",
				  "When the stream last had an error, since the server started.", get_last_error,
				  series, n);
}
