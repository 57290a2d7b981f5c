/*
 * scan_events.c
 *
 * Scans events with a cursor, or in parallel and row by row: the memory does not depend on their
 * number. They are read with the rights of the owner of events (see act_as_owner.h).
 */
#include "postgres.h"

#include "rollup/breakdown/scan_events.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/set_option.h"
#include "partition/current_partitions.h"
#include "rollup/breakdown/rollup_text.h"

#define ROWS_PER_FETCH 1000

enum
{
	EVENT_COLUMN_TS,
	EVENT_COLUMN_USER,
	EVENT_COLUMN_EVENT_NAME,
	EVENT_COLUMN_KEY,
	EVENT_COLUMN_SCOPE,
	EVENT_COLUMNS
};

/* The texts of the row being visited. */
typedef struct
{
	char event_name[ROLLUP_TEXT_SIZE];
	char scope[ROLLUP_TEXT_SIZE];
	char key[ROLLUP_TEXT_SIZE];
} RowTexts;

/* A scan. As a receiver it gets the rows of a statement one by one. */
typedef struct
{
	DestReceiver receiver;
	ScannedEventVisitor visitor;
	void *arg;
	UserHasher *hasher;
	MemoryContext caller;
	MemoryContext context; /* of a row */
	RowTexts texts;
} EventScan;

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

/*
 * Write the statement that selects the rows, and its parameters
 */
static Parameters
write_statement(StringInfo query, const Breakdown *breakdown, const EventSelection *selection)
{
	int most = 3 + selection->nconditions;
	Parameters parameters = {0, palloc(most * sizeof(Oid)), palloc(most * sizeof(Datum))};

	(void) add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(selection->range.low));
	(void) add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(selection->range.high));
	initStringInfo(query);
	appendStringInfoString(query, "SELECT ts, user_id::text, event_name::text, ");
	append_key(query, breakdown);
	appendStringInfo(query, ", (%s\n)::text FROM fast_ingest.events",
					 breakdown && breakdown->scope_sql ? breakdown->scope_sql : "''");
	append_elements(query, breakdown);
	appendStringInfoString(query, " WHERE ts >= $1 AND ts < $2");
	if (breakdown != NULL && !breakdown->is_array)
		appendStringInfo(query, " AND (%s\n) IS NOT NULL", breakdown->key_sql);
	if (selection->event_name != NULL)
		appendStringInfo(
			query, " AND event_name = $%d",
			add_parameter(&parameters, TEXTOID, CStringGetTextDatum(selection->event_name)));
	for (int i = 0; i < selection->nconditions; i++)
		append_condition(query, &parameters, &selection->conditions[i]);
	return parameters;
}

/*
 * Read a text as the rollup stores it, and return its length; NULL is ""
 */
static int
read_text(Datum value, bool isnull, char result[ROLLUP_TEXT_SIZE])
{
	struct varlena *text;

	if (isnull)
		return 0;
	text = PG_DETOAST_DATUM_PACKED(value);
	return RollupText(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), result);
}

static void
read_row(EventScan *scan, const Datum *values, const bool *nulls, ScannedEvent *row)
{
	RowTexts *texts = &scan->texts;

	row->has_user = !nulls[EVENT_COLUMN_USER];
	if (row->has_user)
	{
		struct varlena *text = PG_DETOAST_DATUM_PACKED(values[EVENT_COLUMN_USER]);

		row->user = UserHashOf(scan->hasher, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	}
	row->ts = DatumGetTimestampTz(values[EVENT_COLUMN_TS]);
	row->event_name = texts->event_name;
	row->scope = texts->scope;
	row->key = texts->key;
	row->event_name_len = read_text(values[EVENT_COLUMN_EVENT_NAME], nulls[EVENT_COLUMN_EVENT_NAME],
									texts->event_name);
	row->scope_len = read_text(values[EVENT_COLUMN_SCOPE], nulls[EVENT_COLUMN_SCOPE], texts->scope);
	row->key_len = read_text(values[EVENT_COLUMN_KEY], nulls[EVENT_COLUMN_KEY], texts->key);
}

/*
 * Visit a row in the caller's memory context
 */
static void
visit_row(EventScan *scan, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	ScannedEvent row;

	read_row(scan, values, nulls, &row);
	MemoryContextSwitchTo(scan->caller);
	scan->visitor(&row, scan->arg);
	MemoryContextReset(scan->context);
	MemoryContextSwitchTo(old);
}

static void
begin_scan(EventScan *scan, ScannedEventVisitor visitor, void *arg)
{
	memset(scan, 0, sizeof(*scan));
	scan->visitor = visitor;
	scan->arg = arg;
	scan->hasher = UserHasherCreate();
	scan->caller = CurrentMemoryContext;
	scan->context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest event", ALLOCSET_DEFAULT_SIZES);
	CurrentPartitionsLoad();
}

static void
end_scan(EventScan *scan)
{
	UserHasherFree(scan->hasher);
	MemoryContextDelete(scan->context);
}

void
ScanEvents(const Breakdown *breakdown, const EventSelection *selection, ScannedEventVisitor visitor,
		   void *arg)
{
	Parameters parameters;
	StringInfoData query;
	EventScan scan;
	Portal cursor;
	SavedUser user;

	begin_scan(&scan, visitor, arg);
	parameters = write_statement(&query, breakdown, selection);
	user = ActAsEventsOwner();
	cursor = SPI_cursor_open_with_args(NULL, query.data, parameters.n, parameters.types,
									   parameters.values, NULL, true, 0);
	ActAsCallerAgain(user);
	MemoryContextSwitchTo(scan.caller);

	for (;;)
	{
		SPITupleTable *rows;
		uint64 n;

		/* the visitor must not run as the owner of events, and may use SPI itself */
		user = ActAsEventsOwner();
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
		ActAsCallerAgain(user);
		MemoryContextSwitchTo(scan.caller);
		rows = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		for (uint64 i = 0; i < n; i++)
		{
			Datum values[EVENT_COLUMNS];
			bool nulls[EVENT_COLUMNS];

			heap_deform_tuple(rows->vals[i], rows->tupdesc, values, nulls);
			visit_row(&scan, values, nulls);
		}
		SPI_freetuptable(rows);
		CHECK_FOR_INTERRUPTS();
	}

	SPI_cursor_close(cursor);
	end_scan(&scan);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	slot_getallattrs(slot);
	visit_row((EventScan *) self, slot->tts_values, slot->tts_isnull);
	return true;
}

static void
start_receiver(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_receiver(DestReceiver *self)
{
}

/*
 * The parameters as constants, which the planner knows
 */
static ParamListInfo
make_constants(const Parameters *parameters)
{
	ParamListInfo constants = makeParamList(parameters->n);

	for (int i = 0; i < parameters->n; i++)
	{
		constants->params[i].value = parameters->values[i];
		constants->params[i].isnull = false;
		constants->params[i].pflags = PARAM_FLAG_CONST;
		constants->params[i].ptype = parameters->types[i];
	}
	return constants;
}

void
ScanEventsInParallel(const Breakdown *breakdown, const EventSelection *selection,
					 ScannedEventVisitor visitor, void *arg)
{
	SPIExecuteOptions options = {.read_only = true};
	Parameters parameters;
	StringInfoData query;
	EventScan scan;
	SavedUser user;
	int code;

	begin_scan(&scan, visitor, arg);
	/* SPI takes DestNone for a statement whose rows nobody wants */
	scan.receiver.mydest = DestTuplestore;
	scan.receiver.receiveSlot = receive_row;
	scan.receiver.rStartup = start_receiver;
	scan.receiver.rShutdown = end_receiver;
	scan.receiver.rDestroy = end_receiver;
	parameters = write_statement(&query, breakdown, selection);
	options.params = make_constants(&parameters);
	options.dest = &scan.receiver;
	user = ActAsEventsOwner();
	/* of a partition that is read as a whole, BRIN makes a bitmap of all pages, in twice the time
	 */
	if (selection->range.high - USECS_PER_DAY >= selection->range.low)
		SetOption("enable_seqscan", "on", GUC_ACTION_SAVE);
	code = SPI_execute_extended(query.data, &options);
	ActAsCallerAgain(user);
	MemoryContextSwitchTo(scan.caller);
	if (code != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not read events: %s", SPI_result_code_string(code))));
	end_scan(&scan);
}
