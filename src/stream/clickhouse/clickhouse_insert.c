/*
 * clickhouse_insert.c
 *
 * Sending a batch, and finding out what became of one.
 *
 * Two ways keep a batch from being there twice. With a deduplication window and a token, which
 * is the batch's id, ClickHouse drops what it has of a batch that comes again. Without, the
 * rows of the batch are counted by their column _batch before it is sent again. Versions
 * before 23.3 are counted even if they know tokens: they may take a body that was cut off for
 * a whole one, and the token would then keep out the missing rows.
 *
 * In both ways a batch that was in doubt is counted after it was sent again.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "stream/clickhouse/clickhouse_private.h"
#include "stream/wire/wire_url.h"

/* How long another replica may have rows that this one does not show. */
#define REPLICA_LAG 60000 /* ms */

/*
 * How long after a failed request its batch is sent again although its rows are there: a
 * materialised view may lack them. Deduplication must still remember it.
 */
#define VIEW_REPAIR (30 * 60 * 1000) /* ms */

/* Between two looks for a batch that is not there. */
#define SECOND_LOOK 1500 /* ms */

/* What the table has of a batch. */
typedef struct
{
	uint64 rows;
	uint64 events; /* rows that differ in _lsn or _n */
} Presence;

/* --- an INSERT ---------------------------------------------------------- */

static void
append_columns(StringInfo query, const ClickHouse *sink)
{
	for (int i = 0; i < NUM_STREAM_COLUMNS; i++)
		if (StreamCarries(sink->base.stream, i))
			appendStringInfo(query, "%s%s, ", StreamColumnNames[i],
							 sink->shape.microseconds && (i == COLUMN_TS || i == COLUMN_INGESTED_AT)
								 ? "_us"
								 : "");
	appendStringInfoString(query, "_source, _lsn, _n, _batch");
}

/*
 * The parameters of the URL. A token is of use only with a window.
 */
static char *
make_parameters(const ClickHouse *sink, const SinkBatch *batch, bool deduplicate)
{
	StringInfoData query;
	StringInfoData out;

	initStringInfo(&query);
	appendStringInfo(&query, "INSERT INTO %s (", sink->quoted);
	append_columns(&query, sink);
	appendStringInfoString(&query, ") FORMAT JSONEachRow");

	initStringInfo(&out);
	appendStringInfoString(&out, "query=");
	WireUrlEscape(&out, query.data);
	appendStringInfo(&out, "&query_id=%s&wait_end_of_query=1", batch->id);
	for (int i = 0; i < NUM_CLICKHOUSE_SETTINGS; i++)
		if (ClickHouseKnows(sink, i) && ClickHouseSettings[i].value != NULL)
			appendStringInfo(&out, "&%s=%s", ClickHouseSettings[i].name,
							 ClickHouseSettings[i].value);
	if (ClickHouseKnows(sink, SETTING_INSERT_DEDUPLICATE))
		appendStringInfo(&out, "&insert_deduplicate=%d", deduplicate ? 1 : 0);
	if (ClickHouseKnows(sink, SETTING_DEDUPLICATE_INSERT))
		appendStringInfo(&out, "&deduplicate_insert=%s", deduplicate ? "enable" : "disable");
	if (sink->target.window > 0 && deduplicate)
		appendStringInfo(&out, "&insert_deduplication_token=%s", batch->id);
	return out.data;
}

/*
 * The rows with columns _source and _batch, one a line
 */
static char *
make_body(const ClickHouse *sink, const SinkBatch *batch, size_t *len)
{
	char *tail = psprintf(",\"_source\":\"%s\",\"_batch\":" UINT64_FORMAT "}\n",
						  sink->base.stream->source, batch->hash);
	size_t tail_len = strlen(tail);
	size_t room = 0;
	char *body;
	char *p;

	for (int i = 0; i < batch->nrows; i++)
		room += batch->rows[i].len - 1 + tail_len;
	body = MemoryContextAllocHuge(CurrentMemoryContext, room + 1);
	p = body;
	for (int i = 0; i < batch->nrows; i++)
	{
		const SinkRow *row = &batch->rows[i];

		memcpy(p, row->line, row->len - 1);
		p += row->len - 1;
		memcpy(p, tail, tail_len);
		p += tail_len;
	}
	*len = room;
	return body;
}

static SinkOutcome
outcome_of(ClickHouseMeaning meaning)
{
	switch (meaning)
	{
		case CLICKHOUSE_OK:
			return SINK_DONE;
		case CLICKHOUSE_ROW:
			return SINK_ROW_REFUSED;
		case CLICKHOUSE_NOTHING:
			return SINK_AGAIN;
		case CLICKHOUSE_RUNNING:
		case CLICKHOUSE_DOUBT:
			break;
	}
	return SINK_IN_DOUBT;
}

static void
insert_batch(ClickHouse *sink, const SinkBatch *batch, bool deduplicate, SinkResult *result)
{
	StreamCompression compression = sink->base.stream->compression;
	WireRequest request = {.headers = sink->headers};
	WireReply reply;
	ClickHouseAnswer answer;
	size_t sent_before = result->bytes_sent;

	if (compression == STREAM_COMPRESS_ZSTD && sink->target.gzip_only)
		compression = STREAM_COMPRESS_GZIP;
	request.compression = compression;
	request.query = make_parameters(sink, batch, deduplicate);
	request.body = make_body(sink, batch, &request.body_len);
	WirePost(sink->wire, &request, sink->base.go_on, sink->base.go_on_arg, &reply);

	result->bytes_sent = sent_before + reply.bytes_sent;
	result->retry_after = reply.retry_after;
	if (reply.outcome != WIRE_ANSWERED)
	{
		ClickHouseResult(result, reply.outcome == WIRE_NOT_SENT ? SINK_AGAIN : SINK_IN_DOUBT, "%s",
						 reply.message);
		return;
	}
	ClickHouseAnswerRead(reply.status, WireHeader(&reply, "X-ClickHouse-Exception-Code"),
						 (Slice){reply.body.data, reply.body.len}, true, &answer);
	ClickHouseResult(result, outcome_of(answer.meaning), "%s", answer.message);
	if (answer.meaning == CLICKHOUSE_RUNNING)
		ClickHouseResult(result, SINK_IN_DOUBT, "ClickHouse is still writing batch %s", batch->id);
}

/* --- counting ----------------------------------------------------------- */

/*
 * Ask for one line of two numbers
 */
static bool
ask_numbers(ClickHouse *sink, const char *query, uint64 *first, uint64 *second, SinkResult *result)
{
	StringInfoData body;
	ClickHouseLine line;
	size_t position = 0;
	unsigned long long numbers[2];

	if (!ClickHouseAsk(sink, query, NULL, &body, result))
	{
		result->outcome = SINK_IN_DOUBT;
		return false;
	}
	if (!ClickHouseLineRead(body.data, body.len, &position, &line) || line.nfields != 2 ||
		!ClickHouseNumber(line.fields[0], &numbers[0]) ||
		!ClickHouseNumber(line.fields[1], &numbers[1]))
	{
		ClickHouseResult(result, SINK_IN_DOUBT, "ClickHouse does not answer with two numbers");
		return false;
	}
	*first = numbers[0];
	*second = numbers[1];
	return true;
}

static bool
count_batch(ClickHouse *sink, const SinkBatch *batch, Presence *presence, SinkResult *result)
{
	char *query =
		psprintf("SELECT count(), uniqExact(_lsn, _n) FROM %s WHERE _batch = " UINT64_FORMAT
				 " FORMAT TabSeparated",
				 sink->quoted, batch->hash);

	return ask_numbers(sink, query, &presence->rows, &presence->events, result);
}

/*
 * Is the batch still being written? False with outcome IN_DOUBT, too, if nobody can tell.
 */
static bool
is_running(ClickHouse *sink, const SinkBatch *batch, SinkResult *result)
{
	char *query = psprintf("SELECT count(), toUInt64(max(elapsed)) FROM system.processes "
						   "WHERE query_id = %s FORMAT TabSeparated",
						   ClickHouseLiteral(batch->id));
	uint64 running;
	uint64 seconds;

	if (!ask_numbers(sink, query, &running, &seconds, result))
		return true;
	if (running > 0)
		ClickHouseResult(result, SINK_IN_DOUBT,
						 "ClickHouse has been writing batch %s for " UINT64_FORMAT " s", batch->id,
						 seconds);
	return running > 0;
}

/*
 * Note that a batch is in doubt
 */
static void
note_doubt(ClickHouse *sink, const SinkBatch *batch)
{
	if (sink->doubted == batch->hash)
		return;
	sink->doubted = batch->hash;
	sink->failed_at = 0;
	sink->short_at = 0;
}

/*
 * May the missing rows of a replicated table be on their way to this server?
 */
static bool
may_lag(ClickHouse *sink)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!sink->target.replicated)
		return false;
	if (sink->short_at == 0)
		sink->short_at = now;
	return !TimestampDifferenceExceeds(sink->short_at, now, REPLICA_LAG);
}

/*
 * Judge a table that has rows of a batch, but not each one once
 */
static void
judge_part(ClickHouse *sink, const SinkBatch *batch, const Presence *presence, SinkResult *result)
{
	if (may_lag(sink))
		ClickHouseResult(result, SINK_IN_DOUBT,
						 "this replica has " UINT64_FORMAT " rows of the %d of batch %s, so far",
						 presence->rows, batch->nrows, batch->id);
	else
		ClickHouseResult(
			result, SINK_BLOCKED,
			"table %s has " UINT64_FORMAT " rows for the %d of batch %s: run ALTER TABLE "
			"%s DELETE WHERE _batch = " UINT64_FORMAT ", then fi_resume_stream()",
			sink->quoted, presence->rows, batch->nrows, batch->id, sink->quoted, batch->hash);
}

static bool
is_whole(const ClickHouse *sink, const SinkBatch *batch, const Presence *presence)
{
	/* a row that is there twice goes away with the next merge */
	return presence->events == (uint64) batch->nrows &&
		   (presence->rows == (uint64) batch->nrows || sink->target.replacing);
}

/*
 * Count a batch that was in doubt and has been sent again with success
 */
static void
verify_batch(ClickHouse *sink, const SinkBatch *batch, SinkResult *result)
{
	Presence presence;

	if (!count_batch(sink, batch, &presence, result))
		return;
	/* its token is remembered, but its rows were deleted: by a person, after "blocked" */
	if (presence.rows == 0 && sink->target.window > 0 && !sink->target.replicated)
	{
		insert_batch(sink, batch, false, result);
		if (result->outcome != SINK_DONE || !count_batch(sink, batch, &presence, result))
			return;
	}
	if (is_whole(sink, batch, &presence))
		result->outcome = SINK_DONE;
	else
		judge_part(sink, batch, &presence, result);
}

/* --- the sink's functions ------------------------------------------------ */

/*
 * Is there a row that encode() has refused?
 */
static bool
find_refused(const SinkBatch *batch, SinkResult *result)
{
	size_t len = strlen(CLICKHOUSE_REFUSED);

	for (int i = 0; i < batch->nrows; i++)
	{
		const SinkRow *row = &batch->rows[i];
		const char *reason = row->line + len;
		const char *end;

		if (row->len <= len || memcmp(row->line, CLICKHOUSE_REFUSED, len) != 0)
			continue;
		end = memchr(reason, '"', row->len - len);
		ClickHouseResult(result, SINK_ROW_REFUSED, "%.*s", (int) (end != NULL ? end - reason : 0),
						 reason);
		return true;
	}
	return false;
}

static void
post_batch(ClickHouse *sink, const SinkBatch *batch, SinkResult *result)
{
	SinkResult look = {0};

	if (sink->target.version == 0 && !ClickHouseLook(sink, result))
		return;
	if (sink->reshaped)
	{
		sink->reshaped = false;
		sink->encoded = false;
		ClickHouseResult(result, SINK_RESHAPED, "table %s has other columns than before",
						 sink->quoted);
		return;
	}
	if (find_refused(batch, result))
		return;
	insert_batch(sink, batch, true, result);
	if (result->outcome == SINK_DONE)
	{
		if (sink->doubted == batch->hash)
			verify_batch(sink, batch, result);
	}
	/* a column may have another type now: then no row is at fault */
	else if (result->outcome == SINK_ROW_REFUSED)
	{
		if (!ClickHouseLook(sink, &look))
			ClickHouseResult(result, SINK_AGAIN, "%s", look.message);
	}
	else
		sink->target.version = 0;
	if (result->outcome == SINK_DONE)
		sink->doubted = 0;
	else if (result->outcome == SINK_IN_DOUBT)
	{
		note_doubt(sink, batch);
		sink->failed_at = GetCurrentTimestamp();
	}
}

/*
 * May a materialised view lack the rows that the table has? Sending them again is harmless
 * for the table, and gives them to the view.
 */
static bool
may_lack_views(const ClickHouse *sink)
{
	return sink->target.window > 0 && sink->failed_at != 0 &&
		   !TimestampDifferenceExceeds(sink->failed_at, GetCurrentTimestamp(), VIEW_REPAIR);
}

void
ClickHousePost(Sink *base, const SinkBatch *batch, SinkResult *result)
{
	ClickHouse *sink = (ClickHouse *) base;
	MemoryContext caller;

	ClickHouseBegin(sink, result);
	caller = MemoryContextSwitchTo(sink->scratch);
	post_batch(sink, batch, result);
	MemoryContextSwitchTo(caller);
}

/*
 * Look once more, after a moment, for a batch that is not there
 */
static bool
look_again(ClickHouse *sink, const SinkBatch *batch, Presence *presence, SinkResult *result)
{
	if (!ClickHouseNap(sink, SECOND_LOOK))
	{
		ClickHouseResult(result, SINK_IN_DOUBT, "batch %s is not there", batch->id);
		return false;
	}
	return !is_running(sink, batch, result) && count_batch(sink, batch, presence, result);
}

static void
settle_batch(ClickHouse *sink, const SinkBatch *batch, SinkResult *result)
{
	Presence presence;

	note_doubt(sink, batch);
	if (sink->target.version == 0 && !ClickHouseLook(sink, result))
	{
		result->outcome = SINK_IN_DOUBT;
		return;
	}
	if (is_running(sink, batch, result) || !count_batch(sink, batch, &presence, result))
		return;
	/* the request may be on its way, and not a query yet: only a token makes that harmless */
	if (presence.rows == 0 && sink->target.window == 0 &&
		!look_again(sink, batch, &presence, result))
		return;
	if (is_whole(sink, batch, &presence) && !may_lack_views(sink))
	{
		sink->doubted = 0;
		result->outcome = SINK_DONE;
	}
	else if (sink->target.window > 0)
		ClickHouseResult(result, SINK_AGAIN, "batch %s is sent again", batch->id);
	else if (presence.rows > 0)
		judge_part(sink, batch, &presence, result);
	else
		ClickHouseResult(result, SINK_AGAIN, "batch %s is not there", batch->id);
}

void
ClickHouseSettle(Sink *base, const SinkBatch *batch, SinkResult *result)
{
	ClickHouse *sink = (ClickHouse *) base;
	MemoryContext caller;

	ClickHouseBegin(sink, result);
	caller = MemoryContextSwitchTo(sink->scratch);
	settle_batch(sink, batch, result);
	MemoryContextSwitchTo(caller);
}
