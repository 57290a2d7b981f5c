/*
 * backfill_cut.c
 *
 * Takes the cut of backfills, and tells when they can begin to read, and what.
 */
#include "postgres.h"

#include "stream/backfill/backfill_private.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/time_ranges.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "partition/partition_ranges.h"
#include "partition/partition_times.h"

/* No table is locked: a partition that somebody drops is found missing when it is read. */
#define SELECT_EVENT_TABLES \
	"WITH RECURSIVE tree AS (SELECT 'fast_ingest.events'::pg_catalog.regclass::pg_catalog.oid" \
	" AS oid UNION ALL SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON" \
	" i.inhparent OPERATOR(pg_catalog.=) tree.oid AND NOT i.inhdetachpending)" \
	" SELECT c.oid, c.relkind, c.oid::pg_catalog.regclass::pg_catalog.text FROM tree" \
	" JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.oid" \
	" WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,f}') ORDER BY c.relname, c.oid"

void
BackfillInsert(int32 stream, TimestampTz since, TimestampTz until, uint64 unsent, bool clear)
{
	Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID, BOOLOID};
	Datum values[] = {Int32GetDatum(stream), TimestampTzGetDatum(since), TimestampTzGetDatum(until),
					  FullTransactionIdGetDatum(FullTransactionIdFromU64(unsent)),
					  BoolGetDatum(clear)};

	(void) SpiRunWithNulls("INSERT INTO fast_ingest.stream_backfills"
						   " (stream_id, since, until, unsent_xid, clear)"
						   " VALUES ($1, $2, $3, $4, $5)",
						   SPI_OK_INSERT, lengthof(types), types, values,
						   unsent == 0 ? "   n " : "     ");
}

/*
 * May a table have events of a time range, by its bounds?
 */
static bool
may_have_times(Oid table, TimestampTz since, TimestampTz until)
{
	return !get_rel_relispartition(table) ||
		   TimeRangeListTouches(PartitionTimesOf(table).ranges, since, until);
}

List *
EventTables(TimestampTz since, TimestampTz until)
{
	List *tables = NIL;
	List *touched = NIL;
	ListCell *cell;
	int n = (int) SpiRun(SELECT_EVENT_TABLES, SPI_OK_SELECT);

	for (int i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		bool isnull;
		Oid table = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));

		if (DatumGetChar(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull)) == RELKIND_RELATION)
			tables = lappend_oid(tables, table);
		else
			ereport(LOG, (errmsg("the events of foreign table %s are not sent",
								 SPI_getvalue(row, SPI_tuptable->tupdesc, 3))));
	}
	SPI_freetuptable(SPI_tuptable);

	foreach (cell, tables)
	{
		if (may_have_times(lfirst_oid(cell), since, until))
			touched = lappend_oid(touched, lfirst_oid(cell));
	}
	return touched;
}

TimestampTz
EventsBegin(void)
{
	TimestampTz *lowers;
	TimestampTz *uppers;

	if (get_rel_relkind(OwnTable("events")) != RELKIND_PARTITIONED_TABLE)
		return DT_NOBEGIN;
	if (PartitionRanges(true, &lowers, &uppers) == 0)
		return DT_NOBEGIN;
	return lowers[0] <= MIN_TIMESTAMP ? DT_NOBEGIN : lowers[0];
}

/*
 * Have a target not remove what is here no more. True if nothing is left of the range.
 */
static bool
keep_what_is_gone(const Backfills *backfills, Backfill *job, TimestampTz begin)
{
	Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(job->id), TimestampTzGetDatum(begin)};

	if (!job->clear || job->since >= begin)
		return false;
	ereport(LOG, (errmsg("stream \"%s\": events before %s are here no more, and stay in the target",
						 backfills->name, timestamptz_to_str(begin))));
	if (job->until <= begin)
	{
		BackfillSetDone(job->id);
		job->done = true;
		return true;
	}
	(void) SpiRunWith("UPDATE fast_ingest.stream_backfills SET since = $2"
					  " WHERE id OPERATOR(pg_catalog.=) $1",
					  SPI_OK_UPDATE, lengthof(types), types, values);
	job->since = begin;
	return false;
}

static bool
overlap(const Backfill *a, const Backfill *b)
{
	return a->since < b->until && b->since < a->until;
}

/*
 * Can the cut of job number n be taken now, with those of the jobs before it?
 */
static bool
can_be_cut(const Backfills *backfills, int n, FullTransactionId cut)
{
	const Backfill *job = &backfills->jobs[n];

	for (int i = 0; i < n; i++)
	{
		const Backfill *former = &backfills->jobs[i];

		if (former->done || BackfillIsRefill(former))
			continue;
		if (job->clear && (former->cut != U64FromFullTransactionId(cut) || overlap(job, former)))
			return false;
	}
	return true;
}

void
BackfillsTakeCut(Backfills *backfills)
{
	FullTransactionId cut;
	TimestampTz begin;

	BackfillsLoad(backfills);
	begin = EventsBegin();
	cut = ReadNextFullTransactionId();
	for (int i = 0; i < backfills->n; i++)
	{
		Backfill *job = &backfills->jobs[i];
		Oid types[] = {INT8OID, XID8OID};
		Datum values[] = {Int64GetDatum(job->id), FullTransactionIdGetDatum(cut)};

		if (job->cut != 0 || job->done || BackfillIsRefill(job) || !can_be_cut(backfills, i, cut) ||
			keep_what_is_gone(backfills, job, begin))
			continue;
		(void) SpiRunWith("UPDATE fast_ingest.stream_backfills SET cut = $2"
						  " WHERE id OPERATOR(pg_catalog.=) $1",
						  SPI_OK_UPDATE, lengthof(types), types, values);
		job->cut = U64FromFullTransactionId(cut);
	}
	BackfillsLoad(backfills);
	backfills->obstacle[0] = '\0';
	backfills->next_look = 0;
}

bool
BackfillsFormerEnded(Backfills *backfills, const Backfill *job)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId oldest = GetActiveSnapshot()->xmin;
	Oid types[] = {XIDOID};
	Datum values[] = {TransactionIdGetDatum(oldest)};

	if (FullXidBefore(oldest, next) >= job->cut ||
		(oldest == XidFromFullTransactionId(next) && U64FromFullTransactionId(next) >= job->cut))
		return true;
	/* after a crash the next id may be one before the cut again: use it up */
	if (oldest == XidFromFullTransactionId(next))
		(void) GetTopTransactionId();
	(void) SpiRunWith(
		"SELECT 'transaction ' || $1::text || coalesce((SELECT ' of process ' || a.pid"
		" FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_xid = $1 LIMIT 1),"
		" (SELECT ', prepared as ' || pg_catalog.quote_literal(p.gid)"
		" FROM pg_catalog.pg_prepared_xacts AS p WHERE p.transaction = $1 LIMIT 1), '')",
		SPI_OK_SELECT, lengthof(types), types, values);
	BackfillsWait(backfills, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	return false;
}

void
BackfillListTables(const Backfill *job)
{
	List *tables = EventTables(job->since, job->until);
	ListCell *cell;
	int number = 0;
	Oid types[] = {INT8OID, OIDOID, INT4OID};
	Oid lsn_types[] = {INT8OID, PG_LSNOID};
	Datum lsn_values[] = {Int64GetDatum(job->id), LSNGetDatum(GetXLogInsertRecPtr())};

	foreach (cell, tables)
	{
		Datum values[] = {Int64GetDatum(job->id), ObjectIdGetDatum(lfirst_oid(cell)),
						  Int32GetDatum(++number)};

		(void) SpiRunWith("INSERT INTO fast_ingest.stream_backfill_partitions"
						  " (backfill_id, partition, number) VALUES ($1, $2, $3)",
						  SPI_OK_INSERT, lengthof(types), types, values);
	}
	(void) SpiRunWith("UPDATE fast_ingest.stream_backfills SET ended_lsn = $2 WHERE id = $1",
					  SPI_OK_UPDATE, lengthof(lsn_types), lsn_types, lsn_values);
	if (number == 0)
		BackfillSetDone(job->id);
}
