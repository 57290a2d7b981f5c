/*
 * read_rollup.c
 *
 * A statement that reads rows is prepared once in a process, with a generic plan: its rows are
 * found by an index, whatever the parameters.
 *
 * The index rollup_bucket finds rows of an event_name, the index rollup_scope those of a scope.
 * The rows of all names are found name by name, those that fast_ingest.event_names has on the
 * days in question. It also has the empty name, which the rows of others have, where there are
 * others.
 */
#include "postgres.h"

#include "rollup/metrics/read_rollup.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "db/spi.h"
#include "rollup/breakdown/breakdown.h"

#define ROW_COLUMNS \
	"r.bucket, r.event_name, r.scope, r.key, r.is_other, r.is_other_name, r.events, r.unique_users," \
	" r.users, r.minutes, r.ctid AS place"
#define OF_LEVEL " r.breakdown = $1 AND r.level = $2 AND r.bucket >= $3 AND r.bucket < $4"
#define OF_NAME " AND r.event_name = $7 AND NOT r.is_other_name"
/* an expression, for which the planner has no index but that of scopes */
#define OF_NAME_IN_SCOPE " AND r.event_name || '' = $7 AND NOT r.is_other_name"
#define WITH_SCOPE " AND r.scope = $5 AND r.scope <> ''"
#define WITH_KEY " AND r.key = $6 AND NOT r.is_other"

/* Takes more conditions. $8 is the beginning of the first day. OFFSET 0 prevents a join. */
#define ROWS_OF_ALL_NAMES(more) \
	"SELECT r.* FROM (SELECT DISTINCT event_name FROM fast_ingest.event_names" \
	"  WHERE day >= $8 AND day < $4) AS n" \
	" CROSS JOIN LATERAL (SELECT " ROW_COLUMNS " FROM fast_ingest.rollup AS r" \
	"  WHERE " OF_LEVEL " AND r.event_name = n.event_name" more " OFFSET 0) AS r"
#define ROWS_WHERE(conditions) \
	"SELECT " ROW_COLUMNS " FROM fast_ingest.rollup AS r WHERE " OF_LEVEL conditions

enum
{
	ROW_COLUMN_BUCKET = 1,
	ROW_COLUMN_EVENT_NAME,
	ROW_COLUMN_SCOPE,
	ROW_COLUMN_KEY,
	ROW_COLUMN_IS_OTHER,
	ROW_COLUMN_IS_OTHER_NAME,
	ROW_COLUMN_EVENTS,
	ROW_COLUMN_UNIQUE_USERS,
	ROW_COLUMN_USERS,
	ROW_COLUMN_MINUTES,
	ROW_COLUMN_PLACE
};

/* Of the parameters of all statements. */
static Oid types[] = {INT2OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
					  TEXTOID, TEXTOID, TEXTOID,		TIMESTAMPTZOID};

static SPIPlanPtr
prepare_once(bool with_name, bool with_scope, bool with_key)
{
	static const char *const statements[2][2][2] = {
		{{ROWS_OF_ALL_NAMES(""), ROWS_OF_ALL_NAMES(WITH_KEY)},
		 {ROWS_WHERE(WITH_SCOPE), ROWS_WHERE(WITH_SCOPE WITH_KEY)}},
		{{ROWS_WHERE(OF_NAME), ROWS_WHERE(OF_NAME WITH_KEY)},
		 {ROWS_WHERE(OF_NAME_IN_SCOPE WITH_SCOPE),
		  ROWS_WHERE(OF_NAME_IN_SCOPE WITH_SCOPE WITH_KEY)}}};
	static SPIPlanPtr plans[2][2][2];
	SPIPlanPtr *plan = &plans[with_name][with_scope][with_key];

	if (*plan == NULL)
		*plan = SpiPrepare(statements[with_name][with_scope][with_key], lengthof(types), types,
						   CURSOR_OPT_GENERIC_PLAN);
	return *plan;
}

/*
 * Get a column of a row; 0 for NULL
 */
static Datum
get_column(TupleTableSlot *slot, int number)
{
	return slot->tts_isnull[number - 1] ? (Datum) 0 : slot->tts_values[number - 1];
}

/*
 * Get a column of type text, and its length
 */
static const char *
get_text(TupleTableSlot *slot, int number, int *len)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(get_column(slot, number));

	*len = VARSIZE_ANY_EXHDR(text);
	return VARDATA_ANY(text);
}

/* Who visits the rows of a selection. */
typedef struct
{
	RollupRowVisitor visitor;
	void *arg;
} SelectionVisitor;

static void
visit_row(TupleTableSlot *slot, void *arg)
{
	const SelectionVisitor *rows = arg;
	RollupRow row;

	slot_getallattrs(slot);
	row.bucket = DatumGetTimestampTz(get_column(slot, ROW_COLUMN_BUCKET));
	row.event_name = get_text(slot, ROW_COLUMN_EVENT_NAME, &row.event_name_len);
	row.scope = get_text(slot, ROW_COLUMN_SCOPE, &row.scope_len);
	row.key = get_text(slot, ROW_COLUMN_KEY, &row.key_len);
	if (DatumGetBool(get_column(slot, ROW_COLUMN_IS_OTHER_NAME)))
		row.event_name = NULL;
	if (DatumGetBool(get_column(slot, ROW_COLUMN_IS_OTHER)))
		row.key = NULL;
	row.events = DatumGetInt64(get_column(slot, ROW_COLUMN_EVENTS));
	row.unique_users = DatumGetInt64(get_column(slot, ROW_COLUMN_UNIQUE_USERS));
	row.users = get_column(slot, ROW_COLUMN_USERS);
	row.minutes = get_column(slot, ROW_COLUMN_MINUTES);
	row.place = *(ItemPointer) DatumGetPointer(get_column(slot, ROW_COLUMN_PLACE));
	rows->visitor(&row, rows->arg);
}

static Datum
make_text(const char *text)
{
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

int64
RollupRows(const RollupSelection *selection, RollupRowVisitor visitor, void *arg)
{
	Datum values[lengthof(types)];
	SelectionVisitor rows = {visitor, arg};

	values[0] = Int16GetDatum((int16) selection->breakdown);
	values[1] = Int16GetDatum((int16) selection->level);
	values[2] = TimestampTzGetDatum(selection->range.low);
	values[3] = TimestampTzGetDatum(selection->range.high);
	values[4] = make_text(selection->scope);
	values[5] = make_text(selection->key);
	values[6] = make_text(selection->event_name);
	values[7] = TimestampTzGetDatum(BucketStart(selection->range.low, LEVEL_DAY));
	return (int64) SpiVisitPlan(prepare_once(selection->event_name != NULL,
											 selection->scope != NULL, selection->key != NULL),
								lengthof(types), types, values, visit_row, &rows);
}

int64
RollupRowsOfLevel(const RollupSelection *rows, BucketLevel level, const TimeRangeList *ranges,
				  RollupRowVisitor visitor, void *arg)
{
	RollupSelection selection = *rows;
	int64 n = 0;

	selection.level = level;
	for (int i = 0; i < ranges->n; i++)
	{
		selection.range = ranges->ranges[i];
		n += RollupRows(&selection, visitor, arg);
	}
	return n;
}

void
RollupRowsAt(int n, const ItemPointerData *places, RollupRowVisitor visitor, void *arg)
{
	static SPIPlanPtr plan = NULL;
	Oid array_of_places = TIDARRAYOID;
	Datum *elements = palloc_extended(Max(n, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	SelectionVisitor rows = {visitor, arg};
	Datum array;

	if (plan == NULL)
		plan = SpiPrepare("SELECT " ROW_COLUMNS " FROM fast_ingest.rollup AS r"
						  " WHERE r.ctid = ANY ($1)",
						  1, &array_of_places, CURSOR_OPT_GENERIC_PLAN);
	for (int i = 0; i < n; i++)
		elements[i] = PointerGetDatum(&places[i]);
	array = PointerGetDatum(
		construct_array(elements, n, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
	(void) SpiVisitPlan(plan, 1, &array_of_places, &array, visit_row, &rows);
}

/*
 * Widen an extent by the first and the last bucket of a result; nothing for NULL
 */
static void
extend_by_result(TimeRange *extent, int64 width)
{
	bool isnull;
	Datum low = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	Datum high = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);

	if (!isnull)
	{
		extent->low = Min(extent->low, DatumGetTimestampTz(low));
		extent->high = Max(extent->high, DatumGetTimestampTz(high) + width);
	}
	SPI_freetuptable(SPI_tuptable);
}

TimeRange
RollupExtent(const char *event_name)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {make_text(event_name)};
	TimeRange extent = {TIME_END, TIME_BEGIN};

	if (event_name == NULL)
	{
		(void) SpiSelect("SELECT min(day), max(day) FROM fast_ingest.event_names", 0, 0, NULL,
						 NULL);
		extend_by_result(&extent, USECS_PER_DAY);
		return extent;
	}
	for (int level = LEVEL_MINUTE; level <= LEVEL_HOUR; level++)
	{
		char statement[256];

		snprintf(statement, sizeof(statement),
				 "SELECT min(bucket), max(bucket) FROM fast_ingest.rollup"
				 " WHERE breakdown = %d AND level = %d AND event_name = $1 AND NOT is_other_name",
				 BREAKDOWN_CHANNEL, level);
		(void) SpiSelect(statement, 0, 1, types, values);
		extend_by_result(&extent, BucketWidth(level));
	}
	return extent;
}
