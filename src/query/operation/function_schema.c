/*
 * function_schema.c
 */
#include "postgres.h"

#include "query/operation/function_schema.h"

#include "db/spi.h"

char *
FunctionSchema(void)
{
	if (SpiSelect("SELECT pg_catalog.quote_ident(n.nspname)"
				  " FROM pg_catalog.pg_extension e"
				  " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
				  " WHERE e.extname OPERATOR(pg_catalog.=) 'fast_ingest'",
				  0, 0, NULL, NULL) != 1)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"fast_ingest\" does not exist")));
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}
