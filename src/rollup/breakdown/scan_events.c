/*
 * scan_events.c
 *
 * Scans events with a cursor, so that the memory does not depend on their number. They are
 * read with the rights of the owner of events (see act_as_owner.h).
 */
#include "postgres.h"

#include "rollup/breakdown/scan_events.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "partition/current_partitions.h"
#include "rollup/breakdown/rollup_text.h"

#define ROWS_PER_FETCH 1000

enum
{
	EVENT_COLUMN_TS = 1,
	EVENT_COLUMN_USER,
	EVENT_COLUMN_EVENT_NAME,
	EVENT_COLUMN_KEY,
	EVENT_COLUMN_SCOPE
};

/* The texts of the row being visited. */
typedef struct
{
	char event_name[ROLLUP_TEXT_SIZE];
	char scope[ROLLUP_TEXT_SIZE];
	char key[ROLLUP_TEXT_SIZE];
} RowTexts;

/*
 * Append what gives the key of a row, a text. A name that no column of events has stands for an
 * element of an array.
 */
static void
append_key(StringInfo query, const Breakdown *breakdown)
{
	if (breakdown == NULL)
		appendStringInfoString(query, "''");
	else if (breakdown->is_array)
		appendStringInfoString(query, "\"fast_ingest element\".\"fast_ingest element\"");
	else
		appendStringInfo(query, "(%s\n)::text", breakdown->key_sql);
}

/*
 * Append the elements of an array to FROM: each one once, by its bytes
 */
static void
append_elements(StringInfo query, const Breakdown *breakdown)
{
	if (breakdown != NULL && breakdown->is_array)
		appendStringInfo(query,
						 ", LATERAL (SELECT DISTINCT e COLLATE \"C\" FROM unnest((%s\n)::text[])"
						 " AS e WHERE e IS NOT NULL)"
						 " AS \"fast_ingest element\" (\"fast_ingest element\")",
						 breakdown->key_sql);
}

/* The parameters of a statement. */
typedef struct
{
	int n;
	Oid *types;
	Datum *values;
} Parameters;

/*
 * Add a parameter, and return its number
 */
static int
add_parameter(Parameters *parameters, Oid type, Datum value)
{
	parameters->types[parameters->n] = type;
	parameters->values[parameters->n++] = value;
	return parameters->n;
}

static Datum
make_text_array(const char *const *values, int n)
{
	Datum *texts = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		texts[i] = CStringGetTextDatum(values[i]);
	return PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
append_condition(StringInfo query, Parameters *parameters, const EventCondition *condition)
{
	if (condition->is_array)
		appendStringInfo(query, " AND (%s\n)::text[] && $%d", condition->sql,
						 add_parameter(parameters, TEXTARRAYOID,
									   make_text_array(condition->values, condition->nvalues)));
	else if (condition->nvalues == 1)
		appendStringInfo(
			query, " AND (%s\n)::text = $%d", condition->sql,
			add_parameter(parameters, TEXTOID, CStringGetTextDatum(condition->values[0])));
	else
		appendStringInfo(query, " AND (%s\n)::text = ANY ($%d)", condition->sql,
						 add_parameter(parameters, TEXTARRAYOID,
									   make_text_array(condition->values, condition->nvalues)));
}

static Portal
open_cursor(const Breakdown *breakdown, const EventSelection *selection)
{
	int most = 3 + selection->nconditions;
	Parameters parameters = {0, palloc(most * sizeof(Oid)), palloc(most * sizeof(Datum))};
	StringInfoData query;

	(void) add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(selection->range.low));
	(void) add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(selection->range.high));
	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ts, user_id::text, event_name::text, ");
	append_key(&query, breakdown);
	appendStringInfo(&query, ", (%s\n)::text FROM fast_ingest.events",
					 breakdown && breakdown->scope_sql ? breakdown->scope_sql : "''");
	append_elements(&query, breakdown);
	appendStringInfoString(&query, " WHERE ts >= $1 AND ts < $2");
	if (breakdown != NULL && !breakdown->is_array)
		appendStringInfo(&query, " AND (%s\n) IS NOT NULL", breakdown->key_sql);
	if (selection->event_name != NULL)
		appendStringInfo(
			&query, " AND event_name = $%d",
			add_parameter(&parameters, TEXTOID, CStringGetTextDatum(selection->event_name)));
	for (int i = 0; i < selection->nconditions; i++)
		append_condition(&query, &parameters, &selection->conditions[i]);
	return SPI_cursor_open_with_args(NULL, query.data, parameters.n, parameters.types,
									 parameters.values, NULL, true, 0);
}

/*
 * Read a text as the rollup stores it, and return its length; NULL is ""
 */
static int
read_text(HeapTuple tuple, TupleDesc desc, int column, char result[ROLLUP_TEXT_SIZE])
{
	bool isnull;
	Datum value = SPI_getbinval(tuple, desc, column, &isnull);
	struct varlena *text;

	if (isnull)
		return 0;
	text = PG_DETOAST_DATUM_PACKED(value);
	return RollupText(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), result);
}

static void
read_row(HeapTuple tuple, TupleDesc desc, UserHasher *hasher, RowTexts *texts, ScannedEvent *row)
{
	bool isnull;
	Datum user = SPI_getbinval(tuple, desc, EVENT_COLUMN_USER, &isnull);

	row->has_user = !isnull;
	if (row->has_user)
	{
		struct varlena *text = PG_DETOAST_DATUM_PACKED(user);

		row->user = UserHashOf(hasher, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	}
	row->ts = DatumGetTimestampTz(SPI_getbinval(tuple, desc, EVENT_COLUMN_TS, &isnull));
	row->event_name = texts->event_name;
	row->scope = texts->scope;
	row->key = texts->key;
	row->event_name_len = read_text(tuple, desc, EVENT_COLUMN_EVENT_NAME, texts->event_name);
	row->scope_len = read_text(tuple, desc, EVENT_COLUMN_SCOPE, texts->scope);
	row->key_len = read_text(tuple, desc, EVENT_COLUMN_KEY, texts->key);
}

void
ScanEvents(const Breakdown *breakdown, const EventSelection *selection, ScannedEventVisitor visitor,
		   void *arg)
{
	UserHasher *hasher = UserHasherCreate();
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest events", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = CurrentMemoryContext;
	RowTexts texts;
	ScannedEvent row;
	Portal cursor;
	SavedUser user;

	CurrentPartitionsLoad();
	user = ActAsEventsOwner();
	cursor = open_cursor(breakdown, selection);
	ActAsCallerAgain(user);
	MemoryContextSwitchTo(caller);

	for (;;)
	{
		SPITupleTable *rows;
		uint64 n;

		/* the visitor must not run as the owner of events, and may use SPI itself */
		user = ActAsEventsOwner();
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
		ActAsCallerAgain(user);
		MemoryContextSwitchTo(caller);
		rows = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		MemoryContextReset(context);
		for (uint64 i = 0; i < n; i++)
		{
			MemoryContextSwitchTo(context);
			read_row(rows->vals[i], rows->tupdesc, hasher, &texts, &row);
			MemoryContextSwitchTo(caller);
			visitor(&row, arg);
		}
		SPI_freetuptable(rows);
		CHECK_FOR_INTERRUPTS();
	}

	SPI_cursor_close(cursor);
	UserHasherFree(hasher);
	MemoryContextDelete(context);
}
