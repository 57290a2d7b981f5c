/*
 * output_plugin.c
 *
 * The output plugin: it is shown each change of a committed transaction, in commit order. It
 * numbers the INSERTs of events, encodes those that the stream carries, and appends them to the
 * spool.
 *
 * The number of a row counts all events that the transaction inserted, whether they are carried
 * or not, so positions do not depend on the filters.
 *
 * Callbacks run in a transaction that is always aborted, under a snapshot of the past that can
 * only read catalogs. They write to memory and temporary files only.
 */
#include "postgres.h"

#include "stream/decode/decoder_private.h"

#include "miscadmin.h"
#include "replication/output_plugin.h"
#include "storage/ipc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "stream/decode/event_tables.h"
#include "worker/worker.h"

#define FIRST_LINE 1024
#define LONGEST_KEPT_LINE (1024 * 1024) /* a longer buffer is not kept for the next row */

/* Since PostgreSQL 16 its header has this line, too. */
extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/*
 * Whoever has the REPLICATION attribute can name this library as a plugin.
 */
static void
start_plugin(LogicalDecodingContext *context, OutputPluginOptions *options, bool is_init)
{
	if (!DecoderIsOurs())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("output plugin \"%s\" serves only the streams of fast_ingest",
							   DECODER_PLUGIN),
						errhint("fi_create_stream() creates a stream.")));
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
	EventTablesInit();
}

static void
begin_transaction(LogicalDecodingContext *context, ReorderBufferTXN *txn)
{
	Decoder *decoder = context->output_writer_private;

	if (decoder == NULL)
		return;
	decoder->n = 0;
	/* the present is not the past */
	if (!decoder->has_historic)
		InvalidateSystemCaches();
	decoder->has_historic = true;
}

static void
commit_transaction(LogicalDecodingContext *context, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
}

/*
 * Has the target got everything up to a position?
 */
static bool
is_done(const Decoder *decoder, uint64 lsn, uint64 n)
{
	return lsn < decoder->config.done_lsn ||
		   (lsn == decoder->config.done_lsn && n <= decoder->config.done_n);
}

static void
empty_line(Decoder *decoder)
{
	StringInfo line = &decoder->line;

	if (line->data != NULL && line->maxlen <= LONGEST_KEPT_LINE)
	{
		resetStringInfo(line);
		return;
	}
	if (line->data != NULL)
		pfree(line->data);
	line->data = MemoryContextAlloc(decoder->memory, FIRST_LINE);
	line->maxlen = FIRST_LINE;
	resetStringInfo(line);
}

/*
 * Append an event to the spool if the stream carries it
 */
static void
spool_row(Decoder *decoder, const EventRowMap *map, ReorderBufferTXN *txn, Relation table,
		  ReorderBufferChange *change)
{
	const DecoderConfig *config = &decoder->config;
	HeapTuple row = DecodedRow(change);
	StreamEvent event;

	decoder->n++;
	if (row == NULL || is_done(decoder, txn->final_lsn, decoder->n))
		return;
	EventRowRead(map, RelationGetDescr(table), row, &event);
	event.lsn = txn->final_lsn;
	event.n = decoder->n;
	/* the row's own transaction may be a subtransaction */
	if (!config->wants(config->arg, &event, change->txn->xid))
		return;
	empty_line(decoder);
	if (event.too_large)
		appendStringInfoString(&decoder->line, STREAM_TOO_LARGE);
	else
		config->encode(config->arg, &event, &decoder->line);
	SpoolAppend(decoder->spool, event.lsn, event.n, txn->end_lsn, DecodedCommitTime(txn),
				decoder->line.data, decoder->line.len);
}

static void
show_change(LogicalDecodingContext *context, ReorderBufferTXN *txn, Relation table,
			ReorderBufferChange *change)
{
	Decoder *decoder = context->output_writer_private;
	const EventRowMap *map;
	MemoryContext caller;

	/* a large transaction is shown in one piece */
	if (WorkerShutdownRequested || WorkerOnHold())
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (decoder == NULL)
		return;
	caller = MemoryContextSwitchTo(decoder->row);
	map = EventTableMap(table);
	if (map != NULL && change->action == REORDER_BUFFER_CHANGE_INSERT)
		spool_row(decoder, map, txn, table, change);
	else if (map != NULL && txn->final_lsn > decoder->config.done_lsn)
		pg_atomic_fetch_add_u64(decoder->config.ignored_changes, 1);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(decoder->row);
}

/*
 * No callbacks for two-phase commit and for transactions in progress: both are decoded when
 * they have been committed
 */
void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = start_plugin;
	callbacks->begin_cb = begin_transaction;
	callbacks->change_cb = show_change;
	callbacks->commit_cb = commit_transaction;
}
