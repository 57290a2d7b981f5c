/*
 * progress.c
 *
 * Reading and writing the progress of a stream.
 */
#include "postgres.h"

#include "stream/run/progress.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/seed.h"
#include "db/act_as_owner.h"
#include "db/set_option.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "stream/backfill/retry.h"

/* Columns that are read, in this order. */
#define COLUMNS \
	"epoch, slot_name, start_lsn, done_lsn, done_n, done_at, confirmed_lsn, unsent_xid, " \
	"batch, intent_id, intent_lsn, intent_n, intent_rows, intent_hash, intent_backfill, " \
	"intent_partition, intent_from, lost_at, lost_reason"

enum
{
	COL_EPOCH = 1,
	COL_SLOT_NAME,
	COL_START_LSN,
	COL_DONE_LSN,
	COL_DONE_N,
	COL_DONE_AT,
	COL_CONFIRMED,
	COL_UNSENT_XID,
	COL_BATCH,
	COL_INTENT_ID,
	COL_INTENT_LSN,
	COL_INTENT_N,
	COL_INTENT_ROWS,
	COL_INTENT_HASH,
	COL_INTENT_BACKFILL,
	COL_INTENT_PARTITION,
	COL_INTENT_FROM,
	COL_LOST_AT,
	COL_LOST_REASON
};

/*
 * A column of the row that was read, and whether it is NULL
 */
static Datum
get_column(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

static bool
get_text(int column, char *copy, size_t size)
{
	bool isnull;
	Datum value = get_column(column, &isnull);

	copy[0] = '\0';
	if (!isnull)
		ErrorCopyText(copy, TextDatumGetCString(value), size);
	return !isnull;
}

static void
get_intent(Intent *intent)
{
	bool isnull;
	Datum value;

	memset(intent, 0, sizeof(*intent));
	if (!get_text(COL_INTENT_ID, intent->id, sizeof(intent->id)))
		return;
	intent->lsn = (uint64) SpiInt64(COL_INTENT_LSN);
	intent->n = (uint64) SpiInt64(COL_INTENT_N);
	intent->rows = DatumGetInt32(get_column(COL_INTENT_ROWS, &isnull));
	value = get_column(COL_INTENT_HASH, &isnull);
	if (!isnull)
	{
		bytea *hash = DatumGetByteaPP(value);

		memcpy(intent->hash.bytes, VARDATA_ANY(hash),
			   Min(VARSIZE_ANY_EXHDR(hash), sizeof(intent->hash.bytes)));
	}
	intent->backfill = SpiInt64(COL_INTENT_BACKFILL);
	value = get_column(COL_INTENT_PARTITION, &isnull);
	intent->partition = isnull ? InvalidOid : DatumGetObjectId(value);
	value = get_column(COL_INTENT_FROM, &isnull);
	if (!isnull)
		intent->from = *(ItemPointer) DatumGetPointer(value);
}

void
ProgressRead(int32 stream_id, Progress *progress)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(stream_id)};
	bool isnull;

	memset(progress, 0, sizeof(*progress));
	progress->exists = SpiSelect("SELECT " COLUMNS " FROM fast_ingest.stream_progress"
								 " WHERE stream_id = $1",
								 1, 1, types, values) > 0;
	if (!progress->exists)
		return;
	(void) get_text(COL_EPOCH, progress->epoch, sizeof(progress->epoch));
	(void) get_text(COL_SLOT_NAME, progress->slot_name, sizeof(progress->slot_name));
	(void) get_column(COL_START_LSN, &isnull);
	progress->started = !isnull;
	progress->done_lsn = (uint64) SpiInt64(COL_DONE_LSN);
	progress->done_n = (uint64) SpiInt64(COL_DONE_N);
	progress->done_at = (TimestampTz) SpiInt64(COL_DONE_AT);
	progress->confirmed = (XLogRecPtr) SpiInt64(COL_CONFIRMED);
	progress->unsent_xid = (uint64) SpiInt64(COL_UNSENT_XID);
	progress->batch = SpiInt64(COL_BATCH);
	get_intent(&progress->intent);
	(void) get_column(COL_LOST_AT, &isnull);
	progress->lost = !isnull;
	(void) get_text(COL_LOST_REASON, progress->lost_reason, sizeof(progress->lost_reason));
}

/*
 * A crash must not take back a commit of this transaction, whatever the settings say
 */
static void
make_durable(void)
{
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		SetOption("synchronous_commit", "local", GUC_ACTION_LOCAL);
}

typedef struct
{
	int32 stream_id;
	const Progress *changed;
	ProgressExtra *extra;
	uint64 oldest_xid; /* of those that run, as of this transaction */
} Write;

static int64
store_letter(int32 stream_id, const StreamDeadLetter *letter)
{
	Oid types[] = {INT4OID, PG_LSNOID, INT8OID, TEXTOID, TEXTOID};
	Datum values[5];

	values[0] = Int32GetDatum(stream_id);
	values[1] = LSNGetDatum(letter->row->lsn);
	values[2] = Int64GetDatum((int64) letter->row->n);
	values[3] = CStringGetTextDatum(letter->reason);
	values[4] =
		PointerGetDatum(cstring_to_text_with_len(letter->row->line, (int) letter->row->len));
	(void) SpiRunWith(
		"INSERT INTO fast_ingest.stream_dead_letters (stream_id, lsn, n, reason, event)"
		" VALUES ($1, $2, $3, $4, $5) RETURNING id",
		SPI_OK_INSERT_RETURNING, lengthof(types), types, values);
	return SpiInt64(1);
}

static void
take_letters_back(int32 stream_id, int64 first)
{
	Oid types[] = {INT4OID, INT8OID};
	Datum values[] = {Int32GetDatum(stream_id), Int64GetDatum(first)};

	(void) SpiRunWith(
		"DELETE FROM fast_ingest.stream_dead_letters WHERE stream_id = $1 AND id >= $2",
		SPI_OK_DELETE, lengthof(types), types, values);
}

static void
retry_letters(int32 stream_id, int64 first)
{
	Oid types[] = {INT4OID, INT8OID};
	Datum values[] = {Int32GetDatum(stream_id), Int64GetDatum(first)};

	(void) SpiRunWith("UPDATE fast_ingest.stream_dead_letters SET retry = true"
					  " WHERE stream_id = $1 AND id >= $2",
					  SPI_OK_UPDATE, lengthof(types), types, values);
}

static void
update_progress(Write *write)
{
	const Progress *to = write->changed;
	const Intent *intent = &to->intent;
	bool has_intent = intent->id[0] != '\0';
	bool has_chunk = has_intent && intent->backfill != 0;
	Oid types[] = {INT4OID,	 TEXTOID, PG_LSNOID, INT8OID,	TIMESTAMPTZOID, PG_LSNOID,
				   XID8OID,	 INT8OID, TEXTOID,	 PG_LSNOID, INT8OID,		INT4OID,
				   BYTEAOID, INT8OID, OIDOID,	 TIDOID};
	Datum values[lengthof(types)];
	char nulls[lengthof(types) + 1];
	bytea *hash = palloc(VARHDRSZ + sizeof(intent->hash));
	bool isnull;

	memset(nulls, ' ', lengthof(types));
	nulls[lengthof(types)] = '\0';
	SET_VARSIZE(hash, VARHDRSZ + sizeof(intent->hash));
	memcpy(VARDATA(hash), &intent->hash, sizeof(intent->hash));
	values[0] = Int32GetDatum(write->stream_id);
	values[1] = CStringGetTextDatum(to->epoch);
	values[2] = LSNGetDatum(to->done_lsn);
	values[3] = Int64GetDatum((int64) to->done_n);
	values[4] = TimestampTzGetDatum(to->done_at);
	nulls[4] = to->done_at == 0 ? 'n' : ' ';
	values[5] = LSNGetDatum(to->confirmed);
	values[6] = UInt64GetDatum(to->unsent_xid);
	values[7] = Int64GetDatum(to->batch);
	values[8] = CStringGetTextDatum(intent->id);
	values[9] = LSNGetDatum(intent->lsn);
	values[10] = Int64GetDatum((int64) intent->n);
	values[11] = Int32GetDatum(intent->rows);
	values[12] = PointerGetDatum(hash);
	values[13] = Int64GetDatum(intent->backfill);
	values[14] = ObjectIdGetDatum(intent->partition);
	values[15] = PointerGetDatum(&intent->from);
	memset(nulls + 8, has_intent ? ' ' : 'n', 5);
	memset(nulls + 13, has_chunk ? ' ' : 'n', 3);

	if (SpiRunWithNulls("UPDATE fast_ingest.stream_progress SET done_lsn = $3, done_n = $4,"
						" done_at = $5, confirmed_lsn = $6, unsent_xid = $7, batch = $8,"
						" intent_id = $9, intent_lsn = $10, intent_n = $11, intent_rows = $12,"
						" intent_hash = $13, intent_backfill = $14, intent_partition = $15,"
						" intent_from = $16"
						" WHERE stream_id = $1"
						" AND epoch = $2"
						" RETURNING pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())",
						SPI_OK_UPDATE_RETURNING, lengthof(types), types, values, nulls) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the stream was dropped or resumed meanwhile")));
	write->oldest_xid = DatumGetUInt64(get_column(1, &isnull));
}

static void
end_letters(const ProgressExtra *extra)
{
	if (extra->letters_refused != NULL)
		RetryNoteRefused(extra->stream, extra->letters_over, extra->letters_refused);
	else
		RetryNoteDone(extra->stream, extra->letters_over);
}

static void
run_write(void *arg)
{
	Write *write = arg;
	ProgressExtra *extra = write->extra;
	SavedUser user = ActAsRollupOwner();

	make_durable();
	update_progress(write);
	if (extra != NULL && extra->take_back != 0)
		take_letters_back(write->stream_id, extra->take_back);
	if (extra != NULL && extra->retry_from != 0)
		retry_letters(write->stream_id, extra->retry_from);
	if (extra != NULL && extra->letter != NULL)
		extra->letter_id = store_letter(write->stream_id, extra->letter);
	if (extra != NULL && extra->chunk != NULL)
		BackfillNoteChunk(extra->backfills, extra->chunk);
	if (extra != NULL && extra->letters_over[0] != '\0')
		end_letters(extra);
	if (extra != NULL && extra->letters_begun != NULL)
		RetryNoteBegun(extra->letters_begun, extra->nletters_begun, write->changed->intent.id);
	ActAsCallerAgain(user);
}

/*
 * Rows of transactions that had ended when a sample was taken are in WAL before its position.
 * When everything before that is the target's, only later transactions can have unsent rows.
 */
static void
use_sample(Progress *progress)
{
	if (progress->sample_lsn == 0 || progress->confirmed < progress->sample_lsn)
		return;
	progress->unsent_xid = Max(progress->unsent_xid, progress->sample_xid);
	progress->sample_lsn = 0;
}

ErrorData *
ProgressWrite(int32 stream_id, Progress *progress, const Progress *changed, ProgressExtra *extra)
{
	Progress copy = *changed;
	Write write = {.stream_id = stream_id, .changed = &copy, .extra = extra};
	ErrorData *error;

	use_sample(&copy);
	error = RunTransaction("noting the progress of a stream", run_write, &write);
	if (error != NULL)
		return error;
	if (copy.sample_lsn == 0)
	{
		/* in this order: what had ended by the snapshot is in WAL by now */
		copy.sample_xid = write.oldest_xid;
		copy.sample_lsn = GetXLogInsertRecPtr();
	}
	*progress = copy;
	return NULL;
}

typedef struct
{
	const char *statement;
	int nparameters;
	Oid types[3];
	Datum values[3];
} Statement;

static void
run_statement(void *arg)
{
	Statement *statement = arg;
	SavedUser user = ActAsRollupOwner();

	make_durable();
	(void) SpiRunWith(statement->statement, SPI_OK_UPDATE, statement->nparameters, statement->types,
					  statement->values);
	ActAsCallerAgain(user);
}

ErrorData *
ProgressStart(int32 stream_id, Progress *progress, XLogRecPtr start)
{
	Statement statement = {"UPDATE fast_ingest.stream_progress SET start_lsn = $2,"
						   " confirmed_lsn = $2 WHERE stream_id = $1"
						   " AND epoch = $3",
						   3,
						   {INT4OID, PG_LSNOID, TEXTOID},
						   {0}};
	ErrorData *error;

	statement.values[0] = Int32GetDatum(stream_id);
	statement.values[1] = LSNGetDatum(start);
	statement.values[2] = CStringGetTextDatum(progress->epoch);
	error = RunTransaction("noting the start of a stream", run_statement, &statement);
	if (error == NULL)
	{
		progress->started = true;
		progress->confirmed = start;
	}
	return error;
}

ErrorData *
ProgressLose(int32 stream_id, Progress *progress, const char *reason)
{
	Statement statement = {"UPDATE fast_ingest.stream_progress SET lost_at = pg_catalog.now(),"
						   " lost_reason = $2 WHERE stream_id = $1"
						   " AND epoch = $3",
						   3,
						   {INT4OID, TEXTOID, TEXTOID},
						   {0}};

	statement.values[0] = Int32GetDatum(stream_id);
	statement.values[1] = CStringGetTextDatum(reason);
	statement.values[2] = CStringGetTextDatum(progress->epoch);
	progress->lost = true;
	strlcpy(progress->lost_reason, reason, sizeof(progress->lost_reason));
	return RunTransaction("noting that a stream is lost", run_statement, &statement);
}

ErrorData *
ProgressPause(int32 stream_id)
{
	Statement statement = {"UPDATE fast_ingest.streams SET paused = true WHERE id = $1",
						   1,
						   {INT4OID},
						   {Int32GetDatum(stream_id)}};

	return RunTransaction("pausing a stream", run_statement, &statement);
}

void
ProgressNewEpoch(int32 stream_id)
{
	Oid types[] = {INT4OID, TEXTOID, TEXTOID};
	Datum values[3];
	char epoch[17];

	snprintf(epoch, sizeof(epoch), "%016llx", (unsigned long long) RandomSeed());
	values[0] = Int32GetDatum(stream_id);
	values[1] = CStringGetTextDatum(epoch);
	values[2] =
		CStringGetTextDatum(psprintf("fast_ingest_%u_%d_%s", MyDatabaseId, stream_id, epoch));
	(void) SpiRunWith(
		"INSERT INTO fast_ingest.stream_progress AS p (stream_id, epoch, slot_name, unsent_xid)"
		" VALUES ($1, $2, $3, pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()))"
		" ON CONFLICT (stream_id) DO UPDATE SET epoch = excluded.epoch,"
		" slot_name = excluded.slot_name, start_lsn = NULL, done_lsn = '0/0', done_n = 0,"
		" confirmed_lsn = '0/0', unsent_xid = excluded.unsent_xid, batch = 0, lost_at = NULL,"
		" lost_reason = NULL,"
		" intent_id = CASE WHEN p.intent_backfill IS NOT NULL THEN p.intent_id END,"
		" intent_lsn = CASE WHEN p.intent_backfill IS NOT NULL THEN p.intent_lsn END,"
		" intent_n = CASE WHEN p.intent_backfill IS NOT NULL THEN p.intent_n END,"
		" intent_rows = CASE WHEN p.intent_backfill IS NOT NULL THEN p.intent_rows END,"
		" intent_hash = CASE WHEN p.intent_backfill IS NOT NULL THEN p.intent_hash END",
		SPI_OK_INSERT, lengthof(types), types, values);
}
