/*
 * read_rollup.c
 *
 * The statement that reads a level is prepared once in a process, with a generic plan: its
 * rows are found by the index, whatever the parameters.
 */
#include "postgres.h"

#include "rollup/metrics/read_rollup.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "db/spi.h"
#include "rollup/breakdown/breakdown.h"

#define ROW_COLUMNS "bucket, key, is_other, events, unique_users, users, minutes"
#define ROWS_OF_LEVEL \
	"SELECT " ROW_COLUMNS " FROM fast_ingest.rollup" \
	" WHERE breakdown = $1 AND level = $2 AND event_name = $3 AND NOT is_other_name" \
	" AND bucket >= $4 AND bucket < $5"
#define WITH_KEY " AND key = $6 AND NOT is_other"

enum
{
	ROW_COLUMN_BUCKET = 1,
	ROW_COLUMN_KEY,
	ROW_COLUMN_IS_OTHER,
	ROW_COLUMN_EVENTS,
	ROW_COLUMN_UNIQUE_USERS,
	ROW_COLUMN_USERS,
	ROW_COLUMN_MINUTES
};

static SPIPlanPtr
prepare_once(bool with_key)
{
	static SPIPlanPtr plans[2];
	Oid types[] = {INT2OID, INT2OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID};

	if (plans[with_key] == NULL)
		plans[with_key] = SpiPrepare(with_key ? ROWS_OF_LEVEL WITH_KEY : ROWS_OF_LEVEL,
									 with_key ? 6 : 5, types, CURSOR_OPT_GENERIC_PLAN);
	return plans[with_key];
}

/*
 * Get a column of a row of a result; 0 for NULL
 */
static Datum
get_column(SPITupleTable *rows, uint64 row, int number)
{
	bool isnull;
	Datum value = SPI_getbinval(rows->vals[row], rows->tupdesc, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

/*
 * Call a visitor for each row of the result
 */
static int64
visit_rows(RollupRowVisitor visitor, void *arg)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64 n = SPI_processed;

	for (uint64 i = 0; i < n; i++)
	{
		struct varlena *text = PG_DETOAST_DATUM_PACKED(get_column(rows, i, ROW_COLUMN_KEY));
		RollupRow row;

		CHECK_FOR_INTERRUPTS();
		row.bucket = DatumGetTimestampTz(get_column(rows, i, ROW_COLUMN_BUCKET));
		row.key = DatumGetBool(get_column(rows, i, ROW_COLUMN_IS_OTHER)) ? NULL : VARDATA_ANY(text);
		row.key_len = VARSIZE_ANY_EXHDR(text);
		row.events = DatumGetInt64(get_column(rows, i, ROW_COLUMN_EVENTS));
		row.unique_users = DatumGetInt64(get_column(rows, i, ROW_COLUMN_UNIQUE_USERS));
		row.users = get_column(rows, i, ROW_COLUMN_USERS);
		row.minutes = get_column(rows, i, ROW_COLUMN_MINUTES);
		visitor(&row, arg);
	}
	SPI_freetuptable(rows);
	return (int64) n;
}

int64
RollupRows(int breakdown, BucketLevel level, const char *event_name, const char *key,
		   TimeRange range, RollupRowVisitor visitor, void *arg)
{
	Datum values[6];

	values[0] = Int16GetDatum((int16) breakdown);
	values[1] = Int16GetDatum((int16) level);
	values[2] = CStringGetTextDatum(event_name);
	values[3] = TimestampTzGetDatum(range.low);
	values[4] = TimestampTzGetDatum(range.high);
	values[5] = key ? CStringGetTextDatum(key) : (Datum) 0;
	(void) SpiSelectPlan(prepare_once(key != NULL), values);
	return visit_rows(visitor, arg);
}

int64
RollupScopeRows(int breakdown, const char *scope, TimestampTz day, RollupRowVisitor visitor,
				void *arg)
{
	Oid types[] = {INT2OID, TEXTOID, TIMESTAMPTZOID};
	Datum values[3];

	values[0] = Int16GetDatum((int16) breakdown);
	values[1] = CStringGetTextDatum(scope);
	values[2] = TimestampTzGetDatum(day);
	(void) SpiSelect("SELECT " ROW_COLUMNS
					 " FROM fast_ingest.rollup WHERE scope = $2 AND scope <> ''"
					 "  AND bucket = $3 AND breakdown = $1 AND level = 3",
					 0, 3, types, values);
	return visit_rows(visitor, arg);
}

TimeRange
RollupExtent(const char *event_name)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(event_name)};
	TimeRange extent = {TIME_END, TIME_BEGIN};

	for (int level = LEVEL_MINUTE; level <= LEVEL_HOUR; level++)
	{
		char statement[256];
		Datum low;
		Datum high;

		snprintf(statement, sizeof(statement),
				 "SELECT min(bucket), max(bucket) FROM fast_ingest.rollup"
				 " WHERE breakdown = %d AND level = %d AND event_name = $1 AND NOT is_other_name",
				 BREAKDOWN_CHANNEL, level);
		(void) SpiSelect(statement, 0, 1, types, values);
		low = get_column(SPI_tuptable, 0, 1);
		high = get_column(SPI_tuptable, 0, 2);
		if (high != (Datum) 0 || low != (Datum) 0)
		{
			extent.low = Min(extent.low, DatumGetTimestampTz(low));
			extent.high = Max(extent.high, DatumGetTimestampTz(high) + BucketWidth(level));
		}
		SPI_freetuptable(SPI_tuptable);
	}
	return extent;
}
