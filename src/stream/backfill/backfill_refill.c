/*
 * backfill_refill.c
 *
 * Finds what a refill has to send again to a target that can remove events.
 *
 * Such a refill is asked for as one backfill of all times with unsent_xid. It becomes one
 * backfill for each run of UTC days that have rows of transactions from unsent_xid on. The days
 * are looked for when the new slot is there: it keeps what commits from then on, and everything
 * that was committed before is visible. One table is looked at in each transaction. What has been
 * found is in memory; after a restart the search begins again.
 */
#include "postgres.h"

#include "stream/backfill/backfill_private.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/time_ranges.h"
#include "db/act_as_owner.h"
#include "db/spi.h"

/*
 * Whole days of rows from a transaction on. age() is negative for a row that was frozen so long
 * ago that its xmin seems to lie ahead.
 */
#define SELECT_DAYS \
	"SELECT pg_catalog.date_trunc('day', ts, 'UTC') FROM %s" \
	" WHERE pg_catalog.age(xmin) OPERATOR(pg_catalog.>=) 0 AND (pg_catalog.age($1)" \
	" OPERATOR(pg_catalog.<) 0 OR pg_catalog.age(xmin) OPERATOR(pg_catalog.<=)" \
	" pg_catalog.age($1)) GROUP BY 1 ORDER BY 1"

/* What has been found so far. It outlives a Backfills, which is read again now and then. */
static struct
{
	int64 refill; /* 0: none */
	List *tables; /* that are to be looked at */
	TimeRangeList days;
} search;

const Backfill *
BackfillsRefill(const Backfills *backfills)
{
	for (int i = 0; i < backfills->n; i++)
	{
		if (!backfills->jobs[i].done && BackfillIsRefill(&backfills->jobs[i]))
			return &backfills->jobs[i];
	}
	return NULL;
}

/*
 * Add the days of a table that have rows of transactions from unsent on
 */
static void
add_days(Relation table, uint64 unsent)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid types[] = {XIDOID};
	Datum values[] = {
		TransactionIdGetDatum(XidFromFullTransactionId(FullTransactionIdFromU64(unsent)))};
	char *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)),
											RelationGetRelationName(table));
	int n = (int) SpiSelect(psprintf(SELECT_DAYS, name), 0, lengthof(types), types, values);

	MemoryContextSwitchTo(TopMemoryContext);
	for (int i = 0; i < n; i++)
	{
		bool isnull;
		TimestampTz day = DatumGetTimestampTz(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		if (TIMESTAMP_NOT_FINITE(day))
			ereport(WARNING,
					(errmsg("events without a finite ts in table %s are not sent again", name)));
		else
			TimeRangeListAppend(&search.days, day, day + USECS_PER_DAY);
	}
	MemoryContextSwitchTo(caller);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Put a backfill for each run of days in the place of the refill
 */
static void
expand_refill(Backfills *backfills, const Backfill *job)
{
	const TimeRangeList *days = &search.days;
	int64 ndays = 0;

	TimeRangeListJoin(&search.days);
	for (int i = 0; i < days->n; i++)
	{
		TimestampTz low = Max(days->ranges[i].low, job->since);
		TimestampTz high = TIMESTAMP_IS_NOEND(job->until) ? days->ranges[i].high
														  : Min(days->ranges[i].high, job->until);

		if (low >= high)
			continue;
		BackfillInsert(backfills->stream, low, high, 0, true);
		ndays += (high - low + USECS_PER_DAY - 1) / USECS_PER_DAY;
	}
	BackfillSetDone(job->id);
	ereport(LOG, (errmsg("stream \"%s\": all events of " INT64_FORMAT
						 " days that may have missing ones will be sent again",
						 backfills->name, ndays)));
}

/*
 * Forget what a search has found
 */
static void
begin_search(const Backfill *job)
{
	MemoryContext caller;

	list_free(search.tables);
	search.tables = NIL;
	search.days.n = 0;
	if (job != NULL)
	{
		List *tables = EventTables(job->since, job->until);

		caller = MemoryContextSwitchTo(TopMemoryContext);
		search.tables = list_copy(tables);
		MemoryContextSwitchTo(caller);
	}
	search.refill = job == NULL ? 0 : job->id;
}

void
BackfillsSearch(Backfills *backfills, const Backfill *job)
{
	Relation table;
	Oid oid;

	if (search.refill != job->id)
	{
		/* in a transaction of its own, since it locks the tables above the partitions */
		begin_search(job);
		return;
	}
	if (search.tables == NIL)
	{
		expand_refill(backfills, job);
		begin_search(NULL);
		BackfillsLoad(backfills);
		return;
	}
	oid = llast_oid(search.tables);
	if (!ConditionalLockRelationOid(oid, AccessShareLock))
	{
		BackfillsWait(backfills, psprintf("a lock on table %u", oid));
		return;
	}
	table = try_relation_open(oid, NoLock);
	if (table != NULL)
	{
		SavedUser saved = ActAsEventsOwner();

		add_days(table, job->unsent);
		ActAsCallerAgain(saved);
		relation_close(table, NoLock);
	}
	search.tables = list_delete_last(search.tables);
}
