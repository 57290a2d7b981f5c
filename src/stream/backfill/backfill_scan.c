/*
 * backfill_scan.c
 *
 * Reads chunks of partitions by ranges of tids, one short transaction for each.
 *
 * Only the partition at work is locked, in ACCESS SHARE mode, and nobody is waited for: where
 * the lock cannot be had at once, the live stream goes on. Only a chunk that was begun before a
 * restart waits.
 */
#include "postgres.h"

#include "stream/backfill/backfill_private.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "partition/partition_times.h"
#include "stream/event_row.h"

/* Blocks that are read for a chunk at most, however few of their rows pass the filters. */
#define CHUNK_BLOCKS 8192

typedef struct
{
	Backfills *backfills;
	const Stream *stream;
	Sink *sink;
	const BackfillChunk *begun;
	BackfillChunk *chunk;
	MemoryContext context; /* of the chunk */
	bool found;
} ChunkReader;

/*
 * Lock and open a table. NULL if it is not there, or not a table of events; *busy if the lock
 * cannot be had now, and is not to be waited for.
 */
static Relation
open_table(Oid oid, bool wait, bool *busy)
{
	Relation table;

	*busy = false;
	if (wait)
		LockRelationOid(oid, AccessShareLock);
	else if (!ConditionalLockRelationOid(oid, AccessShareLock))
	{
		*busy = true;
		return NULL;
	}
	table = try_relation_open(oid, NoLock);
	if (table != NULL && table->rd_rel->relkind == RELKIND_RELATION &&
		(oid == OwnTable("events") || IsEventsPartition(oid)))
		return table;
	if (table != NULL)
		relation_close(table, NoLock);
	return NULL;
}

/*
 * Can its rows be read by ranges of tids, and have they an xmin?
 */
static bool
is_heap(Relation table)
{
	return table->rd_tableam->scan_set_tidrange != NULL &&
		   table_slot_callbacks(table) == &TTSOpsBufferHeapTuple;
}

/*
 * Does a row belong to the backfill, by its xmin? Rows of later transactions are left to the
 * live stream, except for what only looks like one of them:
 *
 * - a row that was frozen more than 2^32 transactions ago;
 * - a row that an UPDATE wrote, which the live stream ignores, in the place of an older one.
 *
 * Both are told by ingested_at, which is from before the backfill was asked for.
 */
static bool
is_ours(const Backfill *job, HeapTuple row, FullTransactionId next, bool *by_time)
{
	HeapTupleHeader header = row->t_data;
	uint64 xmin = FullXidBefore(HeapTupleHeaderGetRawXmin(header), next);

	*by_time = false;
	if (xmin < job->unsent)
		return false;
	if (xmin < job->cut)
		return true;
	*by_time = (header->t_infomask & HEAP_UPDATED) != 0 ||
			   (HeapTupleHeaderXminFrozen(header) && U64FromFullTransactionId(next) >> 32 > 0);
	return *by_time;
}

/*
 * Add an event to the chunk. False if it is full.
 */
static bool
add_event(ChunkReader *reader, StringInfo lines, uint32 *room, const StreamEvent *event)
{
	BackfillChunk *chunk = reader->chunk;
	int before = lines->len;

	if (event->too_large)
		appendStringInfoString(lines, STREAM_TOO_LARGE);
	else
		reader->sink->class->encode(reader->sink, event, lines);
	if (reader->begun == NULL && chunk->nrows > 0 &&
		(lines->len > reader->stream->batch_bytes || chunk->nrows >= reader->stream->batch_rows))
	{
		lines->len = before;
		return false;
	}
	if ((uint32) chunk->nrows == *room)
	{
		*room *= 2;
		chunk->rows = repalloc_huge(chunk->rows, *room * sizeof(SinkRow));
	}
	chunk->rows[chunk->nrows++] =
		(SinkRow){.len = lines->len - before, .lsn = event->lsn, .n = event->n};
	return true;
}

/*
 * Read the rows of a table between two tids (inclusive) into the chunk
 */
static void
scan_table(ChunkReader *reader, const Backfill *job, const BackfillPartition *partition,
		   Relation table, ItemPointerData first, ItemPointerData last)
{
	BackfillChunk *chunk = reader->chunk;
	FullTransactionId next = ReadNextFullTransactionId();
	MemoryContext row_context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(reader->context);
	uint32 room = 256;
	size_t at = 0;
	EventRowMap map;
	StringInfoData lines;
	TupleTableSlot *slot;
	TableScanDesc scan;

	if (!EventRowMapMake(&map, RelationGetDescr(table)))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("table \"%s\" has not the columns of fast_ingest.events",
							   RelationGetRelationName(table))));
	initStringInfo(&lines);
	chunk->rows = palloc(room * sizeof(SinkRow));
	chunk->upto = last;
	MemoryContextSwitchTo(row_context);
	slot = table_slot_create(table, NULL);
	MemoryContextSwitchTo(caller);
	scan = table_beginscan_tidrange(table, GetActiveSnapshot(), &first, &last);
	caller = MemoryContextSwitchTo(
		AllocSetContextCreate(row_context, "fast_ingest values", ALLOCSET_DEFAULT_SIZES));
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		HeapTuple row = ExecFetchSlotHeapTuple(slot, false, NULL);
		ItemPointerData tid = row->t_self;
		StreamEvent event;
		bool by_time;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(CurrentMemoryContext);
		if (!is_ours(job, row, next, &by_time))
			continue;
		EventRowRead(&map, RelationGetDescr(table), row, &event);
		if (!BackfillHasTime(job, event.ts) ||
			(by_time && event.ingested_at >= job->requested_at) ||
			!StreamWants(reader->stream, &event))
			continue;
		event.partition = partition->partition;
		event.lsn = (uint64) job->id;
		event.n = BackfillPosition(partition->number, &tid);
		if (!add_event(reader, &lines, &room, &event))
		{
			/* the row is the first of the next chunk */
			chunk->upto = tid;
			ItemPointerDec(&chunk->upto);
			chunk->ends_partition = false;
			break;
		}
	}
	MemoryContextSwitchTo(caller);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);

	chunk->bytes = lines.len;
	for (int i = 0; i < chunk->nrows; i++)
	{
		chunk->rows[i].line = lines.data + at;
		at += chunk->rows[i].len;
	}
	MemoryContextDelete(row_context);
}

/*
 * A table is read for the first time: note its file and its size
 */
static void
begin_table(const Backfill *job, BackfillPartition *partition, Relation table)
{
	Oid types[] = {INT8OID, OIDOID, OIDOID, INT8OID};
	Datum values[] = {Int64GetDatum(job->id), ObjectIdGetDatum(partition->partition),
					  ObjectIdGetDatum(table->rd_rel->relfilenode),
					  Int64GetDatum(RelationGetNumberOfBlocks(table))};

	(void) SpiRunWith("UPDATE fast_ingest.stream_backfill_partitions SET filenode = $3, blocks = $4"
					  " WHERE backfill_id = $1 AND partition = $2",
					  SPI_OK_UPDATE, lengthof(types), types, values);
	partition->filenode = table->rd_rel->relfilenode;
	partition->end = (BlockNumber) DatumGetInt64(values[3]);
}

static void
end_table(Backfills *backfills, const Backfill *job, Oid table)
{
	BackfillChunk chunk = {.backfill = job->id, .partition = table, .ends_partition = true};

	BackfillNoteChunk(backfills, &chunk);
}

/*
 * A table was rewritten in the midst of it, as by VACUUM FULL: tids mean nothing any more. Ask
 * for another backfill of its times, or of the whole range if others have events of these
 * times.
 */
static void
begin_again(Backfills *backfills, const Backfill *job, Relation table)
{
	Oid oid = RelationGetRelid(table);
	bool can_clear = backfills->kind == STREAM_CLICKHOUSE;
	TimestampTz since = job->since;
	TimestampTz until = job->until;

	ereport(LOG, (errmsg("stream \"%s\": table \"%s\" was rewritten, and its events are sent again",
						 backfills->name, RelationGetRelationName(table)),
				  can_clear ? 0 : errdetail("The target gets some of them twice.")));
	if (table->rd_rel->relispartition)
	{
		PartitionTimes times = PartitionTimesOf(oid);

		if (times.alone && times.ranges->n == 1)
		{
			if (times.ranges->ranges[0].low > TIME_BEGIN)
				since = Max(since, times.ranges->ranges[0].low);
			if (times.ranges->ranges[0].high < TIME_END)
				until = Min(until, times.ranges->ranges[0].high);
		}
	}
	BackfillInsert(backfills->stream, since, until, can_clear ? 0 : job->unsent, can_clear);
	if (since == job->since && until == job->until)
		BackfillSetDone(job->id);
	else
		end_table(backfills, job, oid);
	BackfillsLoad(backfills);
}

/*
 * Read a chunk of a table behind a position, or what was begun
 */
static void
read_chunk(ChunkReader *reader, const Backfill *job, BackfillPartition *partition, Relation table)
{
	BackfillChunk *chunk = reader->chunk;
	BlockNumber from_block = ItemPointerGetBlockNumberNoCheck(&chunk->from);
	ItemPointerData first = chunk->from;
	ItemPointerData last;

	if (ItemPointerGetOffsetNumberNoCheck(&first) < MaxOffsetNumber)
		ItemPointerInc(&first);
	else
		ItemPointerSet(&first, from_block + 1, FirstOffsetNumber);
	if (reader->begun != NULL)
		last = reader->begun->upto;
	else if (partition->end == 0)
		ItemPointerSet(&last, 0, FirstOffsetNumber);
	else
		ItemPointerSet(&last, Min(partition->end, from_block + CHUNK_BLOCKS) - 1, MaxOffsetNumber);
	chunk->ends_partition =
		ItemPointerGetBlockNumberNoCheck(&last) + 1 >= partition->end &&
		(partition->end == 0 || ItemPointerGetOffsetNumberNoCheck(&last) == MaxOffsetNumber);
	scan_table(reader, job, partition, table, first, last);
	reader->found = true;
}

/*
 * Read a chunk of the first table that has one
 */
static void
read_tables(ChunkReader *reader, const Backfill *job)
{
	Backfills *backfills = reader->backfills;

	for (int i = 0; i < backfills->npartitions; i++)
	{
		BackfillPartition *partition = &backfills->partitions[i];
		bool busy;
		Relation table = open_table(partition->partition, false, &busy);

		CHECK_FOR_INTERRUPTS();
		if (busy)
		{
			BackfillsWait(backfills, psprintf("a lock on table \"%s\"",
											  get_rel_name(partition->partition)
												  ? get_rel_name(partition->partition)
												  : "?"));
			continue;
		}
		if (table == NULL || !is_heap(table))
		{
			ereport(LOG, (errmsg("stream \"%s\": %s, and its events are not sent", backfills->name,
								 table == NULL ? psprintf("table %u was dropped or detached",
														  partition->partition)
											   : psprintf("table \"%s\" is not of the heap",
														  RelationGetRelationName(table)))));
			end_table(backfills, job, partition->partition);
			backfills->stale = true;
			if (table != NULL)
				relation_close(table, NoLock);
			continue;
		}
		if (OidIsValid(partition->filenode) && partition->filenode != table->rd_rel->relfilenode &&
			(ItemPointerGetBlockNumberNoCheck(&partition->position) != 0 ||
			 ItemPointerGetOffsetNumberNoCheck(&partition->position) != 0))
		{
			begin_again(backfills, job, table);
			relation_close(table, NoLock);
			return;
		}
		if (partition->filenode != table->rd_rel->relfilenode)
			begin_table(job, partition, table);
		*reader->chunk = (BackfillChunk){
			.backfill = job->id, .partition = partition->partition, .from = partition->position};
		read_chunk(reader, job, partition, table);
		relation_close(table, NoLock);
		backfills->obstacle[0] = '\0';
		backfills->next_look = 0;
		return;
	}
}

/*
 * Read a chunk that was begun before a restart
 */
static void
read_begun(ChunkReader *reader)
{
	Backfills *backfills = reader->backfills;
	const Backfill *job = NULL;
	BackfillPartition *partition = NULL;
	Relation table;
	bool busy;

	/* nothing, unless there is more to find */
	*reader->chunk = *reader->begun;
	reader->chunk->rows = NULL;
	reader->chunk->nrows = 0;
	reader->chunk->bytes = 0;
	reader->chunk->ends_partition = false;
	reader->found = true;
	for (int i = 0; i < backfills->n; i++)
	{
		if (backfills->jobs[i].id == reader->begun->backfill)
			job = &backfills->jobs[i];
	}
	for (int i = 0; job != NULL && job->id == backfills->current && i < backfills->npartitions; i++)
	{
		if (backfills->partitions[i].partition == reader->begun->partition)
			partition = &backfills->partitions[i];
	}
	if (partition == NULL)
		return;
	/* nothing else can be sent before it is known what became of the chunk */
	table = open_table(partition->partition, true, &busy);
	if (table == NULL)
		return;
	if (partition->filenode == table->rd_rel->relfilenode)
		read_chunk(reader, job, partition, table);
	relation_close(table, NoLock);
}

static void
read_next(ChunkReader *reader)
{
	Backfills *backfills = reader->backfills;
	const Backfill *job;

	BackfillsLoad(backfills);
	if (reader->begun != NULL)
	{
		read_begun(reader);
		return;
	}
	job = BackfillsCurrent(backfills);
	if (job == NULL)
	{
		job = BackfillsRefill(backfills);
		if (job != NULL)
			BackfillsSearch(backfills, job);
		return;
	}
	if (job->clear && !job->cleared)
		return;
	if (job->ended == InvalidXLogRecPtr)
	{
		if (BackfillsFormerEnded(backfills, job))
		{
			BackfillListTables(job);
			BackfillsLoad(backfills);
		}
		return;
	}
	read_tables(reader, job);
}

static void
do_read(void *arg)
{
	SavedUser user = ActAsRollupOwner();

	read_next(arg);
	ActAsCallerAgain(user);
}

bool
BackfillReadChunk(Backfills *backfills, const Stream *stream, Sink *sink,
				  const BackfillChunk *begun, BackfillChunk *chunk)
{
	ChunkReader reader = {.backfills = backfills,
						  .stream = stream,
						  .sink = sink,
						  .begun = begun,
						  .chunk = chunk,
						  .context = CurrentMemoryContext};
	ErrorData *error;

	if (MonotonicNow() < backfills->next_look)
		return false;
	backfills->next_look = 0;
	backfills->obstacle[0] = '\0';
	error = RunTransaction("reading events for a stream", do_read, &reader);
	if (error != NULL)
	{
		backfills->stale = true;
		ReThrowError(error);
	}
	return reader.found;
}
