/*
 * backfill.c
 *
 * The backfills of a stream: read from their tables, asked about, noted.
 */
#include "postgres.h"

#include "stream/backfill/backfill.h"

#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/clock.h"
#include "base/compat.h"
#include "db/spi.h"
#include "stream/backfill/backfill_private.h"

/* Events of a block where nobody has counted. */
#define DEFAULT_DENSITY 60.0

/* ms between two looks at what stands in the way */
#define LOOK_WAIT 500

uint64
FullXidBefore(TransactionId xid, FullTransactionId next)
{
	uint64 epoch = U64FromFullTransactionId(next) >> 32;

	if (!TransactionIdIsNormal(xid))
		return xid;
	if (xid >= XidFromFullTransactionId(next))
	{
		/* of a table from before the first epoch ended, frozen in the way of PostgreSQL 9.3 */
		if (epoch == 0)
			return FirstNormalTransactionId;
		epoch--;
	}
	return epoch << 32 | xid;
}

static Datum
get_column(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/*
 * A column of eight bytes; 0 for NULL
 */
static int64
get_int64(int row, int column)
{
	bool isnull;
	Datum value = get_column(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static bool
get_bool(int row, int column)
{
	bool isnull;

	return DatumGetBool(get_column(row, column, &isnull));
}

static void
load_jobs(Backfills *backfills)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(backfills->stream)};

	backfills->n = (int) SpiRunWith(
		"SELECT id, since, until, unsent_xid, cut, clear, cleared, done_at IS NOT NULL, ended_lsn,"
		" requested_at FROM fast_ingest.stream_backfills WHERE stream_id"
		" OPERATOR(pg_catalog.=) $1 ORDER BY id",
		SPI_OK_SELECT, lengthof(types), types, values);
	backfills->jobs =
		MemoryContextAllocZero(backfills->loaded, Max(backfills->n, 1) * sizeof(Backfill));
	for (int i = 0; i < backfills->n; i++)
		backfills->jobs[i] = (Backfill){.id = get_int64(i, 1),
										.since = get_int64(i, 2),
										.until = get_int64(i, 3),
										.unsent = (uint64) get_int64(i, 4),
										.cut = (uint64) get_int64(i, 5),
										.clear = get_bool(i, 6),
										.cleared = get_bool(i, 7),
										.done = get_bool(i, 8),
										.ended = (XLogRecPtr) get_int64(i, 9),
										.requested_at = get_int64(i, 10)};
	SPI_freetuptable(SPI_tuptable);
}

static void
load_partitions(Backfills *backfills, const Backfill *job)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(job->id)};

	backfills->current = job->id;
	backfills->npartitions = (int) SpiRunWith(
		"SELECT p.partition, p.number, p.position, p.filenode, p.blocks,"
		" CASE WHEN c.relpages OPERATOR(pg_catalog.>) 0 AND c.reltuples OPERATOR(pg_catalog.>) 0"
		" THEN (c.reltuples OPERATOR(pg_catalog./) c.relpages)::pg_catalog.float8 END, c.relpages"
		" FROM fast_ingest.stream_backfill_partitions AS p"
		" LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.partition"
		" WHERE p.backfill_id OPERATOR(pg_catalog.=) $1 AND NOT p.done ORDER BY p.number",
		SPI_OK_SELECT, lengthof(types), types, values);
	backfills->partitions = MemoryContextAllocZero(
		backfills->loaded, Max(backfills->npartitions, 1) * sizeof(BackfillPartition));
	for (int i = 0; i < backfills->npartitions; i++)
	{
		BackfillPartition *partition = &backfills->partitions[i];
		bool isnull;
		Datum value;

		partition->partition = DatumGetObjectId(get_column(i, 1, &isnull));
		partition->number = DatumGetInt32(get_column(i, 2, &isnull));
		partition->position = *(ItemPointer) DatumGetPointer(get_column(i, 3, &isnull));
		value = get_column(i, 4, &isnull);
		partition->filenode = isnull ? InvalidOid : DatumGetObjectId(value);
		partition->end = (BlockNumber) get_int64(i, 5);
		value = get_column(i, 6, &isnull);
		partition->density = isnull ? DEFAULT_DENSITY : DatumGetFloat8(value);
		value = get_column(i, 7, &isnull);
		partition->pages = isnull ? 0 : (BlockNumber) DatumGetInt32(value);
	}
	SPI_freetuptable(SPI_tuptable);
}

void
BackfillsLoad(Backfills *backfills)
{
	/* the old ones stay in use if there is an ERROR */
	MemoryContext before = backfills->loaded;

	backfills->loaded = AllocSetContextCreate(backfills->context, "fast_ingest backfill jobs",
											  ALLOCSET_SMALL_SIZES);
	PG_TRY();
	{
		Backfill *job;

		load_jobs(backfills);
		backfills->current = 0;
		backfills->npartitions = 0;
		job = BackfillsCurrent(backfills);
		if (job != NULL && job->ended != InvalidXLogRecPtr)
			load_partitions(backfills, job);
	}
	PG_CATCH();
	{
		backfills->stale = true;
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (before != NULL)
		MemoryContextDelete(before);
	backfills->stale = false;
}

Backfills *
BackfillsRead(const Stream *stream)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest backfills", ALLOCSET_SMALL_SIZES);
	Backfills *backfills = MemoryContextAllocZero(context, sizeof(Backfills));

	backfills->context = context;
	backfills->stream = stream->id;
	backfills->name = MemoryContextStrdup(context, stream->name);
	backfills->kind = stream->kind;
	PG_TRY();
	{
		BackfillsLoad(backfills);
	}
	PG_CATCH();
	{
		MemoryContextDelete(context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return backfills;
}

void
BackfillsFree(Backfills *backfills)
{
	MemoryContextDelete(backfills->context);
}

Backfill *
BackfillsCurrent(const Backfills *backfills)
{
	for (int i = 0; i < backfills->n; i++)
	{
		if (!backfills->jobs[i].done && backfills->jobs[i].cut != 0)
			return &backfills->jobs[i];
	}
	return NULL;
}

bool
BackfillsOwn(const Backfills *backfills, const StreamEvent *event, TransactionId xid)
{
	for (int i = 0; i < backfills->n; i++)
	{
		const Backfill *job = &backfills->jobs[i];
		uint64 full;

		if (job->cut == 0 || !BackfillHasTime(job, event->ts))
			continue;
		full = FullXidBefore(xid, ReadNextFullTransactionId());
		if (full < job->cut && full >= job->unsent)
			return true;
	}
	return false;
}

bool
BackfillsOpen(const Backfills *backfills)
{
	for (int i = 0; i < backfills->n; i++)
	{
		if (!backfills->jobs[i].done)
			return true;
	}
	return backfills->stale;
}

bool
BackfillsCutIsDue(const Backfills *backfills)
{
	bool open = false;

	for (int i = 0; i < backfills->n; i++)
	{
		const Backfill *job = &backfills->jobs[i];

		if (job->done || BackfillIsRefill(job))
			continue;
		if (job->cut == 0 && !(job->clear && open))
			return true;
		open = true;
	}
	return false;
}

bool
BackfillsToClear(const Backfills *backfills, TimestampTz *since, TimestampTz *until)
{
	for (int i = 0; i < backfills->n; i++)
	{
		const Backfill *job = &backfills->jobs[i];

		if (job->cut != 0 && !job->done && job->clear && !job->cleared)
		{
			*since = job->since;
			*until = job->until;
			return true;
		}
	}
	return false;
}

void
BackfillsNoteCleared(Backfills *backfills)
{
	for (int i = 0; i < backfills->n; i++)
	{
		Backfill *job = &backfills->jobs[i];
		Oid types[] = {INT8OID};
		Datum values[] = {Int64GetDatum(job->id)};

		if (job->cut == 0 || job->done || !job->clear || job->cleared)
			continue;
		(void) SpiRunWith("UPDATE fast_ingest.stream_backfills SET cleared = true"
						  " WHERE id OPERATOR(pg_catalog.=) $1",
						  SPI_OK_UPDATE, lengthof(types), types, values);
		break;
	}
	BackfillsLoad(backfills);
}

const char *
BackfillsObstacle(Backfills *backfills)
{
	/* when it is time to look again, nobody knows */
	return MonotonicNow() < backfills->next_look ? backfills->obstacle : "";
}

void
BackfillsWait(Backfills *backfills, const char *what)
{
	strlcpy(backfills->obstacle, what, sizeof(backfills->obstacle));
	backfills->next_look = MonotonicAfter(MonotonicNow(), LOOK_WAIT);
}

int64
BackfillsLeft(const Backfills *backfills)
{
	double left = 0;

	for (int i = 0; i < backfills->npartitions; i++)
	{
		const BackfillPartition *partition = &backfills->partitions[i];
		BlockNumber end = OidIsValid(partition->filenode) ? partition->end : partition->pages;
		BlockNumber at = ItemPointerGetBlockNumberNoCheck(&partition->position);

		left += end > at ? (end - at) * partition->density : 0;
	}
	return left < 1 && BackfillsOpen(backfills) ? 1 : (int64) left;
}

static bool
is_prunable(const Backfill *job, XLogRecPtr lsn)
{
	return job->done && (job->cut == 0 || (job->ended != InvalidXLogRecPtr && job->ended <= lsn));
}

bool
BackfillsPrunable(const Backfills *backfills, XLogRecPtr lsn)
{
	for (int i = 0; i < backfills->n; i++)
	{
		if (is_prunable(&backfills->jobs[i], lsn))
			return true;
	}
	return false;
}

bool
BackfillsPrune(Backfills *backfills, XLogRecPtr lsn)
{
	bool any = false;

	for (int i = 0; i < backfills->n; i++)
	{
		Oid types[] = {INT8OID};
		Datum values[] = {Int64GetDatum(backfills->jobs[i].id)};

		if (!is_prunable(&backfills->jobs[i], lsn))
			continue;
		(void) SpiRunWith("DELETE FROM fast_ingest.stream_backfills"
						  " WHERE id OPERATOR(pg_catalog.=) $1",
						  SPI_OK_DELETE, lengthof(types), types, values);
		any = true;
	}
	if (any)
		BackfillsLoad(backfills);
	return any;
}

void
BackfillSetDone(int64 id)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(id)};

	(void) SpiRunWith("UPDATE fast_ingest.stream_backfills SET done_at = pg_catalog.now()"
					  " WHERE id OPERATOR(pg_catalog.=) $1 AND done_at IS NULL",
					  SPI_OK_UPDATE, lengthof(types), types, values);
}

void
BackfillNoteChunk(Backfills *backfills, const BackfillChunk *chunk)
{
	Oid types[] = {INT8OID, OIDOID, TIDOID, BOOLOID, INT4OID};
	Datum values[] = {Int64GetDatum(chunk->backfill), ObjectIdGetDatum(chunk->partition),
					  PointerGetDatum(&chunk->upto), BoolGetDatum(chunk->ends_partition),
					  Int32GetDatum(chunk->nrows)};

	(void) SpiRunWith("UPDATE fast_ingest.stream_backfill_partitions SET position = $3, done = $4"
					  " WHERE backfill_id OPERATOR(pg_catalog.=) $1"
					  " AND partition OPERATOR(pg_catalog.=) $2 AND NOT done",
					  SPI_OK_UPDATE, 4, types, values);
	types[1] = INT4OID;
	values[1] = values[4];
	(void) SpiRunWith("UPDATE fast_ingest.stream_backfills AS b"
					  " SET events_sent = events_sent OPERATOR(pg_catalog.+) $2,"
					  " done_at = CASE WHEN NOT EXISTS (SELECT FROM"
					  " fast_ingest.stream_backfill_partitions AS p WHERE p.backfill_id"
					  " OPERATOR(pg_catalog.=) $1 AND NOT p.done) THEN pg_catalog.now() END"
					  " WHERE b.id OPERATOR(pg_catalog.=) $1 AND b.done_at IS NULL",
					  SPI_OK_UPDATE, 2, types, values);
	/* read again by who needs it: this transaction may not commit */
	backfills->stale = true;
}
