/*
 * dead_letter.c
 *
 * The way into fast_ingest.dead_letters.
 */
#include "postgres.h"

#include "flush/dead_letter.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

void
DeadLetterInsert(const ErrorData *error)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(unpack_sql_state(error->sqlerrcode)),
					  CStringGetTextDatum(error->message ? error->message : "")};
	int result;

	result = SPI_execute_with_args("INSERT INTO fast_ingest.dead_letters (sqlstate, message, event)"
								   " SELECT $1, $2, pg_catalog.to_jsonb(staged) FROM staged",
								   2, types, values, NULL, false, 0);
	if (result != SPI_OK_INSERT || SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not store a dead letter"),
						errdetail("Reason of the dead letter: %s", error->message)));
}
