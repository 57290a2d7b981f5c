/*
 * stream_status.c
 *
 * fi_streams(): a row for each stream, from its tables and from what its worker shares.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/spi.h"
#include "shared/stream_slot.h"

PG_FUNCTION_INFO_V1(fi_streams);

enum
{
	OUT_NAME,
	OUT_KIND,
	OUT_URL,
	OUT_TARGET,
	OUT_STATE,
	OUT_SINCE,
	OUT_DETAIL,
	OUT_LAG_EVENTS,
	OUT_LAG_BYTES,
	OUT_LAG,
	OUT_SENT_LSN,
	OUT_RETAINED_WAL,
	OUT_MAX_RETAINED_WAL,
	OUT_EVENTS_SENT,
	OUT_BYTES_SENT,
	OUT_BATCHES_SENT,
	OUT_RETRIES,
	OUT_DOUBTS,
	OUT_DEAD_LETTERS,
	OUT_BACKFILL_LEFT,
	OUT_LAST_SENT,
	OUT_LAST_ERROR,
	OUT_LAST_ERROR_AT,
	OUT_GUARANTEE,
	OUT_PID,
	OUT_SLOT_NAME,
	NUM_OUT
};

/* Columns that are read, in this order. */
#define SELECT_STREAMS \
	"SELECT s.name, s.kind, s.url, s.target, s.worker, s.id, s.paused, s.max_retained_wal," \
	" p.slot_name, p.lost_at, p.lost_reason, p.done_at," \
	" (SELECT count(*) FROM fast_ingest.stream_dead_letters d WHERE d.stream_id = s.id)" \
	" FROM fast_ingest.streams s" \
	" LEFT JOIN fast_ingest.stream_progress p ON p.stream_id = s.id ORDER BY s.name"

enum
{
	IN_NAME = 1,
	IN_KIND,
	IN_URL,
	IN_TARGET,
	IN_WORKER,
	IN_ID,
	IN_PAUSED,
	IN_MAX_RETAINED_WAL,
	IN_SLOT_NAME,
	IN_LOST_AT,
	IN_LOST_REASON,
	IN_DONE_AT,
	IN_DEAD_LETTERS
};

typedef struct
{
	Datum values[NUM_OUT];
	bool isnull[NUM_OUT];
} StatusRow;

static void
set_value(StatusRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

static void
set_text(StatusRow *row, int column, const char *text)
{
	set_value(row, column, CStringGetTextDatum(text));
}

static void
set_time(StatusRow *row, int column, TimestampTz moment)
{
	if (moment != 0)
		set_value(row, column, TimestampTzGetDatum(moment));
}

/*
 * Copy a column of row number i that was read
 */
static void
copy_column(StatusRow *row, int to, uint64 i, int from)
{
	row->values[to] =
		SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, from, &row->isnull[to]);
}

static Datum
get_column(uint64 i, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column, isnull);
}

/*
 * What is known of a stream whose worker does not serve it, at least not yet
 */
static void
set_state_of_tables(StatusRow *row, uint64 i, int worker)
{
	bool isnull;
	bool no_progress;

	(void) get_column(i, IN_SLOT_NAME, &no_progress);
	(void) get_column(i, IN_LOST_AT, &isnull);
	if (no_progress || !isnull)
	{
		set_text(row, OUT_STATE, StreamStateName(STREAM_LOST));
		copy_column(row, OUT_SINCE, i, IN_LOST_AT);
		if (no_progress)
			set_text(row, OUT_DETAIL, STREAM_NO_POSITION);
		else
			copy_column(row, OUT_DETAIL, i, IN_LOST_REASON);
		return;
	}
	if (DatumGetBool(get_column(i, IN_PAUSED, &isnull)))
		set_text(row, OUT_STATE, StreamStateName(STREAM_PAUSED));
	else
		set_text(row, OUT_STATE, StreamStateName(STREAM_WAITING));
	if (StreamSlots == NULL || worker >= fi_max_streams)
		set_text(row, OUT_DETAIL,
				 psprintf("for its worker, number %d: fast_ingest.max_streams is %d", worker + 1,
						  StreamSlots == NULL ? 0 : fi_max_streams));
	else
		set_text(row, OUT_DETAIL, "for its worker");
}

static void
set_counters(StatusRow *row, StreamSlot *slot)
{
	const struct
	{
		int column;
		pg_atomic_uint64 *counter;
	} counters[] = {{OUT_LAG_EVENTS, &slot->lag_events},
					{OUT_LAG_BYTES, &slot->lag_bytes},
					{OUT_SENT_LSN, &slot->sent_lsn},
					{OUT_RETAINED_WAL, &slot->retained_bytes},
					{OUT_EVENTS_SENT, &slot->events_sent},
					{OUT_BYTES_SENT, &slot->bytes_sent},
					{OUT_BATCHES_SENT, &slot->batches_sent},
					{OUT_RETRIES, &slot->retries},
					{OUT_DOUBTS, &slot->doubts},
					{OUT_BACKFILL_LEFT, &slot->backfill_left}};

	for (int i = 0; i < (int) lengthof(counters); i++)
		set_value(row, counters[i].column,
				  Int64GetDatum((int64) pg_atomic_read_u64(counters[i].counter)));
}

/*
 * Fill in what the worker says. False: it does not serve this stream.
 */
static bool
set_shared(StatusRow *row, int worker, int32 id)
{
	StreamSlot *slot = &StreamSlots[worker];
	StreamSlot copy;
	TimestampTz oldest = (TimestampTz) pg_atomic_read_u64(&slot->oldest_unsent);
	Interval *lag = palloc0(sizeof(Interval));

	LWLockAcquire(slot->worker.lock, LW_SHARED);
	copy = *slot;
	LWLockRelease(slot->worker.lock);
	if (copy.worker.pid != 0)
		set_value(row, OUT_PID, Int32GetDatum(copy.worker.pid));
	if (copy.stream_id != id)
		return false;

	set_text(row, OUT_STATE, StreamStateName(pg_atomic_read_u32(&slot->state)));
	set_time(row, OUT_SINCE, copy.state_since);
	if (copy.detail[0] != '\0')
		set_text(row, OUT_DETAIL, copy.detail);
	set_counters(row, slot);
	lag->time = oldest != 0 ? Max(GetCurrentTimestamp() - oldest, 0) : 0;
	set_value(row, OUT_LAG, IntervalPGetDatum(lag));
	set_time(row, OUT_LAST_SENT, (TimestampTz) pg_atomic_read_u64(&slot->last_sent));
	if (copy.worker.last_error[0] != '\0')
		set_text(row, OUT_LAST_ERROR, copy.worker.last_error);
	set_time(row, OUT_LAST_ERROR_AT, copy.last_error_at);
	if (copy.guarantee[0] != '\0')
		set_text(row, OUT_GUARANTEE, copy.guarantee);
	return true;
}

/*
 * fi_streams()
 */
Datum
fi_streams(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	/* the streams of a copy in another database have the same ids */
	bool has_workers = StreamSlots != NULL && MyDatabaseId == get_database_oid(fi_database, true);
	SavedUser user;
	uint64 n;

	InitMaterializedSRF(fcinfo, 0);
	user = ActAsRollupOwner();
	SPI_connect();
	n = SpiSelect(SELECT_STREAMS, 0, 0, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		StatusRow row;
		bool isnull;
		int worker = DatumGetInt32(get_column(i, IN_WORKER, &isnull));
		int32 id = DatumGetInt32(get_column(i, IN_ID, &isnull));

		memset(row.isnull, true, sizeof(row.isnull));
		copy_column(&row, OUT_NAME, i, IN_NAME);
		copy_column(&row, OUT_KIND, i, IN_KIND);
		copy_column(&row, OUT_URL, i, IN_URL);
		copy_column(&row, OUT_TARGET, i, IN_TARGET);
		copy_column(&row, OUT_MAX_RETAINED_WAL, i, IN_MAX_RETAINED_WAL);
		copy_column(&row, OUT_SLOT_NAME, i, IN_SLOT_NAME);
		copy_column(&row, OUT_DEAD_LETTERS, i, IN_DEAD_LETTERS);
		copy_column(&row, OUT_LAST_SENT, i, IN_DONE_AT);
		if (!has_workers || worker >= fi_max_streams || !set_shared(&row, worker, id))
			set_state_of_tables(&row, i, worker);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.isnull);
	}
	SPI_finish();
	ActAsCallerAgain(user);
	return (Datum) 0;
}
