/*
 * status.c
 *
 * fi_status(): a row for each worker with its state and its counters; fi_version().
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "db/extension_version.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "shared/query_slot.h"
#include "shared/shared_state.h"
#include "shared/stream_slot.h"

PG_FUNCTION_INFO_V1(fi_status);
PG_FUNCTION_INFO_V1(fi_version);

enum
{
	STATUS_WORKER,
	STATUS_PID,
	STATUS_STATE,
	STATUS_SINCE,
	STATUS_LAST_ERROR,
	STATUS_RECEIVED,
	STATUS_ACCEPTED,
	STATUS_REJECTED,
	STATUS_DUPLICATE,
	STATUS_DISCARDED,
	STATUS_COMMITTED,
	STATUS_DEAD_LETTERED,
	STATUS_DEAD_LETTERS,
	STATUS_DEAD_LETTERS_DROPPED,
	STATUS_STAGED,
	STATUS_STAGING_SIZE,
	STATUS_OLDEST_STAGED,
	STATUS_LAST_COMMIT,
	NUM_STATUS_COLUMNS
};

static const char *
name_state(WorkerState state)
{
	static const char *const names[] = {"stopped", "starting", "waiting",
										"running", "retrying", "draining"};

	return names[state];
}

typedef struct
{
	Datum values[NUM_STATUS_COLUMNS];
	bool isnull[NUM_STATUS_COLUMNS];
} StatusRow;

static void
set_value(StatusRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

/*
 * Fill in the columns that all workers have
 */
static void
set_worker(StatusRow *row, const char *name, WorkerSlot *slot)
{
	WorkerSlot copy;

	LWLockAcquire(slot->lock, LW_SHARED);
	copy = *slot;
	LWLockRelease(slot->lock);

	memset(row->isnull, true, sizeof(row->isnull));
	set_value(row, STATUS_WORKER, CStringGetTextDatum(name));
	if (copy.pid != 0)
		set_value(row, STATUS_PID, Int32GetDatum(copy.pid));
	set_value(row, STATUS_STATE, CStringGetTextDatum(name_state(pg_atomic_read_u32(&slot->state))));
	if (copy.since != 0)
		set_value(row, STATUS_SINCE, TimestampTzGetDatum(copy.since));
	if (copy.last_error[0] != '\0')
		set_value(row, STATUS_LAST_ERROR, CStringGetTextDatum(copy.last_error));
}

static void
set_counter(StatusRow *row, int column, pg_atomic_uint64 *counter)
{
	set_value(row, column, Int64GetDatum(pg_atomic_read_u64(counter)));
}

/*
 * Count the rows of fast_ingest.dead_letters. The column stays NULL in another database,
 * without the privilege to SELECT, and while the table is locked. Shared->dead_letters would
 * not do: it is an upper limit, which does not fall when sessions delete letters.
 */
static void
set_dead_letters(StatusRow *row)
{
	Oid letters = OwnTableIfThere("dead_letters");
	int64 n;

	if (!OidIsValid(letters) || MyDatabaseId != get_database_oid(fi_database, true) ||
		pg_class_aclcheck(letters, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		!ConditionalLockRelationOid(letters, AccessShareLock))
		return;
	SPI_connect();
	(void) SpiSelect("SELECT pg_catalog.count(*) FROM fast_ingest.dead_letters", 0, 0, NULL, NULL);
	n = SpiInt64(1);
	SPI_finish();
	set_value(row, STATUS_DEAD_LETTERS, Int64GetDatum(n));
}

static Datum
compute_age(int64 moment)
{
	Interval *age = palloc0(sizeof(Interval));

	age->time = MonotonicNow() - moment;
	return IntervalPGetDatum(age);
}

static void
add_row(ReturnSetInfo *result, StatusRow *row)
{
	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->isnull);
}

/*
 * Add the rows of a listener and its flusher
 */
static void
add_pair(ReturnSetInfo *result, int number, Pair *pair, Ring **rings)
{
	StatusRow row;
	int64 oldest;

	set_worker(&row, psprintf("listener %d", number), &pair->listener);
	set_counter(&row, STATUS_RECEIVED, &pair->received);
	set_counter(&row, STATUS_ACCEPTED, &pair->accepted);
	set_counter(&row, STATUS_REJECTED, &pair->rejected);
	add_row(result, &row);

	set_worker(&row, psprintf("flusher %d", number), &pair->flusher);
	set_value(&row, STATUS_STAGED, Int64GetDatum(PairStagedRecords(rings)));
	set_counter(&row, STATUS_COMMITTED, &pair->committed);
	set_counter(&row, STATUS_DUPLICATE, &pair->duplicate);
	set_counter(&row, STATUS_DISCARDED, &pair->discarded);
	set_counter(&row, STATUS_DEAD_LETTERED, &pair->dead_lettered);
	set_counter(&row, STATUS_DEAD_LETTERS_DROPPED, &pair->dead_letters_dropped);
	set_value(&row, STATUS_STAGING_SIZE, Int64GetDatum(rings[LANE_TODAY]->size));
	oldest = PairOldestStaged(rings);
	if (oldest != 0)
		set_value(&row, STATUS_OLDEST_STAGED, compute_age(oldest));
	if (pg_atomic_read_u64(&pair->last_commit) != 0)
		set_value(&row, STATUS_LAST_COMMIT,
				  TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64(&pair->last_commit)));
	add_row(result, &row);
}

Datum
fi_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StatusRow row;

	SharedStateRequire();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < fi_listeners; i++)
		add_pair(result, i + 1, &Shared->pairs[i], StagingRings[i]);
	for (int i = 0; i < fi_query_workers; i++)
	{
		set_worker(&row, psprintf("query %d", i + 1), &QuerySlots[i].worker);
		add_row(result, &row);
	}
	for (int i = 0; i < fi_max_streams; i++)
	{
		set_worker(&row, psprintf("stream %d", i + 1), &StreamSlots[i].worker);
		add_row(result, &row);
	}
	set_worker(&row, "maintenance", &Shared->maintenance);
	set_dead_letters(&row);
	add_row(result, &row);
	return (Datum) 0;
}

/*
 * fi_version() RETURNS (library, sql_objects): ALTER EXTENSION may come long after the
 * library, or not at all
 */
Datum
fi_version(PG_FUNCTION_ARGS)
{
	char version[EXTENSION_VERSION_SIZE];
	TupleDesc desc;
	Datum values[2] = {CStringGetTextDatum(LibraryVersion)};
	bool isnull[2] = {false, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (ExtensionVersion(version))
	{
		values[1] = CStringGetTextDatum(version);
		isnull[1] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, isnull)));
}
