/*
 * statement.c
 *
 * Puts the schema of our functions into statements.
 */
#include "postgres.h"

#include "rollup/state/statement.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "db/own_tables.h"
#include "db/spi.h"

uint64
RollupStatement(const char *statement, TimestampTz first, TimestampTz second)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(first), TimestampTzGetDatum(second)};
	const char *schema = ExtensionSchema();
	StringInfoData text;
	uint64 rows;

	initStringInfo(&text);
	for (const char *c = statement; *c != '\0'; c++)
	{
		if (strncmp(c, "%1$s", 4) == 0)
		{
			appendStringInfoString(&text, schema);
			c += 3;
		}
		else
			appendStringInfoChar(&text, *c);
	}
	rows = SpiRunWith(text.data, SPI_ANY_RESULT, 2, types, values);
	pfree(text.data);
	return rows;
}
