/*
 * dead_letter_retry.c
 *
 * fi_retry_dead_letters(): inserts dead letters as events once more, in the caller's
 * transaction and with the caller's rights. Letters are locked first. Letters that
 * another retry has locked are left to that one.
 *
 * A chunk of letters is inserted and deleted in one subtransaction, and halved if that
 * fails, until the letter is found that is refused. It stays, with the new reason. An
 * error that may pass is not the letters' fault: it ends the call, and nothing has
 * happened.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/unix_time.h"
#include "db/count_conflicts.h"
#include "db/error_class.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "event/tuple.h"
#include "partition/create_partition.h"

#define CHUNK 1000 /* letters */

/* The columns have the types of a staged event. Other columns of the table get their defaults. */
#define INSERT_LETTERS \
	"INSERT INTO fast_ingest.events (" EVENT_COLUMNS ") SELECT e.*" \
	" FROM fast_ingest.dead_letters d, jsonb_to_record(d.event) AS e (event_name text," \
	" channel text, user_id text, ts timestamptz, campaign_id text, site_id text, path text," \
	" tags text[], metadata jsonb, event_key uuid)" \
	" WHERE d.id = ANY ($1) ORDER BY d.id ON CONFLICT DO NOTHING"

PG_FUNCTION_INFO_V1(fi_retry_dead_letters);

typedef struct
{
	Datum id;
	bool has_day; /* false only for a row that no flusher wrote */
	int32 day;
} Letter;

typedef struct
{
	int64 retried;
	int64 stored;
	int64 duplicates;
	int64 failed;
} Counts;

/* Letters that are stored together or not at all. */
typedef struct
{
	const Letter *letters;
	int n;
	uint64 stored;
	uint64 duplicates;
} Attempt;

/*
 * Lock the letters that the function's arguments choose, and list them in the
 * current memory context; returns how many
 */
static int64
choose_letters(FunctionCallInfo fcinfo, Letter **letters)
{
	Oid types[] = {INT8ARRAYOID,   TEXTOID,		   TEXTOID, JSONBOID,
				   TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};
	Datum values[lengthof(types)];
	char nulls[lengthof(types)];
	/* fi_dead_letters() is in the same schema as fi_retry_dead_letters() */
	const char *schema =
		quote_identifier(get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid)));
	uint64 n;

	for (int i = 0; i < (int) lengthof(types); i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	n = SpiRunWithNulls(psprintf("SELECT d.id, (d.event ->> 'ts')::timestamptz"
								 " FROM fast_ingest.dead_letters d WHERE d.id IN"
								 " (SELECT l.id FROM %s.fi_dead_letters($1, $2, $3, $4, $5, $6) l)"
								 " ORDER BY d.id LIMIT $7 FOR UPDATE OF d SKIP LOCKED",
								 schema),
						SPI_OK_SELECT, lengthof(types), types, values, nulls);

	*letters = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(Letter));
	for (uint64 i = 0; i < n; i++)
	{
		Letter *letter = &(*letters)[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		TimestampTz ts;

		letter->id = SPI_getbinval(SPI_tuptable->vals[i], desc, 1, &isnull);
		ts = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[i], desc, 2, &isnull));
		letter->has_day = !isnull && !TIMESTAMP_NOT_FINITE(ts);
		letter->day = letter->has_day ? EVENT_DAY(ts + UNIX_EPOCH_OFFSET) : 0;
	}
	SPI_freetuptable(SPI_tuptable);
	return n;
}

/*
 * Make the partitions that letters need; it is not their fault if that fails
 */
static void
ensure_partitions(const Letter *letters, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!letters[i].has_day ||
			(i > 0 && letters[i - 1].has_day && letters[i].day == letters[i - 1].day))
			continue;
		PartitionEnsure(letters[i].day);
		CommandCounterIncrement();
	}
}

static void
store_letters(void *arg)
{
	Attempt *attempt = arg;
	Datum *ids = palloc(attempt->n * sizeof(Datum));
	Oid type = INT8ARRAYOID;
	Datum value;

	for (int i = 0; i < attempt->n; i++)
		ids[i] = attempt->letters[i].id;
	value = PointerGetDatum(
		construct_array(ids, attempt->n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));

	ConflictCountBegin(INSERT_LETTERS);
	attempt->stored = SpiRunWith(INSERT_LETTERS, SPI_OK_INSERT, 1, &type, &value);
	attempt->duplicates = ConflictCountEnd();
	(void) SpiRunWith("DELETE FROM fast_ingest.dead_letters WHERE id = ANY ($1)", SPI_OK_DELETE, 1,
					  &type, &value);
}

static void
keep_letter(const Letter *letter, const ErrorData *error)
{
	Oid types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[] = {letter->id, CStringGetTextDatum(unpack_sql_state(error->sqlerrcode)),
					  CStringGetTextDatum(error->message ? error->message : "")};

	(void) SpiRunWith("UPDATE fast_ingest.dead_letters SET sqlstate = $2, message = $3,"
					  " attempts = attempts + 1, last_attempt = pg_catalog.now() WHERE id = $1",
					  SPI_OK_UPDATE, lengthof(types), types, values);
}

/*
 * Store those letters that the database accepts
 */
static void
retry_letters(const Letter *letters, int n, Counts *counts)
{
	Attempt attempt = {letters, n, 0, 0};
	ErrorData *error;

	CHECK_FOR_INTERRUPTS();
	error = RunSubtransaction(store_letters, &attempt);
	if (error == NULL)
	{
		counts->stored += attempt.stored;
		counts->duplicates += attempt.duplicates;
	}
	else if (ErrorIsTransient(error->sqlerrcode))
		ReThrowError(error);
	else if (n == 1)
	{
		keep_letter(letters, error);
		counts->failed++;
	}
	else
	{
		FreeErrorData(error);
		retry_letters(letters, n / 2, counts);
		retry_letters(letters + n / 2, n - n / 2, counts);
	}
}

/*
 * fi_retry_dead_letters(ids, sqlstate, reason, event, since, until, max_rows)
 * RETURNS (retried, stored, duplicates, failed)
 */
Datum
fi_retry_dead_letters(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Letter *letters;
	Counts counts = {0};
	Datum values[4];
	bool isnull[4] = {0};
	MemoryContext context;

	PreventCommandIfReadOnly("fi_retry_dead_letters()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	SPI_connect();
	/* a deferred constraint would refuse a letter when it is too late to keep it */
	(void) SpiRun("SET CONSTRAINTS ALL IMMEDIATE", SPI_OK_UTILITY);
	counts.retried = choose_letters(fcinfo, &letters);
	context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest retry", ALLOCSET_DEFAULT_SIZES);
	for (int64 i = 0; i < counts.retried; i += CHUNK)
	{
		int n = Min(CHUNK, counts.retried - i);
		MemoryContext caller = MemoryContextSwitchTo(context);

		ensure_partitions(letters + i, n);
		retry_letters(letters + i, n, &counts);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	SPI_finish();

	values[0] = Int64GetDatum(counts.retried);
	values[1] = Int64GetDatum(counts.stored);
	values[2] = Int64GetDatum(counts.duplicates);
	values[3] = Int64GetDatum(counts.failed);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, isnull));
}
