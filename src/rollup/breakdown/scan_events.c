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

static Portal
open_cursor(const Breakdown *breakdown, const char *event_name, const char *channel,
			TimeRange range)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum values[4];
	char nulls[] = "    ";
	StringInfoData query;

	values[0] = TimestampTzGetDatum(range.low);
	values[1] = TimestampTzGetDatum(range.high);
	values[2] = event_name ? CStringGetTextDatum(event_name) : (Datum) 0;
	values[3] = channel ? CStringGetTextDatum(channel) : (Datum) 0;
	nulls[2] = event_name ? ' ' : 'n';
	nulls[3] = channel ? ' ' : 'n';

	initStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT ts, user_id::text, event_name::text, (%s\n)::text, (%s\n)::text"
					 " FROM fast_ingest.events WHERE ts >= $1 AND ts < $2",
					 breakdown->key_sql, breakdown->scope_sql ? breakdown->scope_sql : "''");
	appendStringInfo(&query, " AND (%s\n) IS NOT NULL", breakdown->key_sql);
	if (event_name != NULL)
		appendStringInfoString(&query, " AND event_name = $3");
	if (channel != NULL)
		appendStringInfoString(&query, " AND channel = $4");
	return SPI_cursor_open_with_args(NULL, query.data, 4, types, values, nulls, true, 0);
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
ScanEvents(const Breakdown *breakdown, const char *event_name, const char *channel, TimeRange range,
		   ScannedEventVisitor visitor, void *arg)
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
	cursor = open_cursor(breakdown, event_name, channel, range);
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
