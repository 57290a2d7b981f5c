/*
 * retry.c
 *
 * Dead letters that are sent again, and the function that asks for it.
 */
#include "postgres.h"

#include "stream/backfill/retry.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

#include "base/compat.h"
#include "db/spi.h"

/* Letters that are read at once. */
#define MAX_LETTERS 10000

bool
RetryRead(const Stream *stream, const char *begun, MemoryContext context, RetryBatch *batch)
{
	Oid types[] = {INT4OID, TEXTOID, INT8OID, INT8OID};
	Datum values[] = {Int32GetDatum(stream->id), begun ? CStringGetTextDatum(begun) : (Datum) 0,
					  Int64GetDatum(Min(stream->batch_rows, MAX_LETTERS)),
					  Int64GetDatum(stream->batch_bytes)};
	MemoryContext caller;
	uint64 n;

	/* the texts are not read before it is known which of them fit */
	n = SpiRunWithNulls(
		begun != NULL ? "SELECT id, lsn, n, event FROM fast_ingest.stream_dead_letters"
						" WHERE stream_id = $1 AND retry AND retry_batch = $2 ORDER BY id"
					  : "SELECT id, lsn, n, event FROM"
						" (SELECT id, lsn, n, event,"
						" sum(pg_catalog.octet_length(event)) OVER (ORDER BY id) AS bytes,"
						" row_number() OVER (ORDER BY id) AS number"
						" FROM fast_ingest.stream_dead_letters WHERE stream_id = $1 AND retry"
						" ORDER BY id LIMIT $3) AS l WHERE bytes <= $4 OR number = 1 ORDER BY id",
		SPI_OK_SELECT, lengthof(types), types, values, begun != NULL ? "    " : " n  ");
	caller = MemoryContextSwitchTo(context);
	*batch = (RetryBatch){.rows = palloc(Max(n, 1) * sizeof(SinkRow)),
						  .ids = palloc(Max(n, 1) * sizeof(int64)),
						  .nrows = (int) n};
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		char *line = TextDatumGetCString(SPI_getbinval(row, desc, 4, &isnull));

		batch->ids[i] = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		batch->rows[i] =
			(SinkRow){.line = line,
					  .len = strlen(line),
					  .lsn = DatumGetLSN(SPI_getbinval(row, desc, 2, &isnull)),
					  .n = (uint64) DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull))};
	}
	MemoryContextSwitchTo(caller);
	SPI_freetuptable(SPI_tuptable);
	return n > 0;
}

void
RetryNoteBegun(const int64 *ids, int n, const char *batch_id)
{
	Oid types[] = {INT8ARRAYOID, TEXTOID};
	Datum *elements = palloc(Max(n, 1) * sizeof(Datum));
	Datum values[2];

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	values[0] = PointerGetDatum(
		construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = CStringGetTextDatum(batch_id);
	(void) SpiRunWith("UPDATE fast_ingest.stream_dead_letters SET retry_batch = $2"
					  " WHERE id = ANY ($1)",
					  SPI_OK_UPDATE, lengthof(types), types, values);
}

void
RetryNoteDone(const Stream *stream, const char *batch_id)
{
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[] = {Int32GetDatum(stream->id), CStringGetTextDatum(batch_id)};

	(void) SpiRunWith("DELETE FROM fast_ingest.stream_dead_letters"
					  " WHERE stream_id = $1 AND retry AND retry_batch = $2",
					  SPI_OK_DELETE, lengthof(types), types, values);
}

void
RetryNoteRefused(const Stream *stream, const char *batch_id, const char *reason)
{
	Oid types[] = {INT4OID, TEXTOID, TEXTOID};
	Datum values[] = {Int32GetDatum(stream->id), CStringGetTextDatum(batch_id),
					  CStringGetTextDatum(reason)};

	(void) SpiRunWith("UPDATE fast_ingest.stream_dead_letters SET retry = false,"
					  " retry_batch = NULL, reason = $3, failed_at = pg_catalog.now()"
					  " WHERE stream_id = $1 AND retry AND retry_batch = $2",
					  SPI_OK_UPDATE, lengthof(types), types, values);
}
