/*
 * export_rows.c
 *
 * Reads the rows of each slice with a cursor. They are read with the rights of the owner of events
 * (see act_as_owner.h).
 */
#include "postgres.h"

#include "query/export/export_rows.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/spi.h"
#include "partition/partition_times.h"
#include "query/export/export_filters.h"

#define ROWS_PER_FETCH 1000

/* Slices: their widths, and how many rows are few and many. */
#define FIRST_WIDTH USECS_PER_MINUTE
#define LEAST_WIDTH USECS_PER_SEC
#define WIDTH_STEP 4
#define FEW_ROWS 100000
#define MANY_ROWS 500000
#define SLOW_SLICE 1000 /* ms until its first row: the next one is not longer */

/* A range that long may be that of a default partition, which has no bounds. */
#define LONG_RANGE (1000 * USECS_PER_DAY)

/* What makes an order total among rows without event_key, up to those that are alike. */
#define ROW_HASH \
	"CASE WHEN event_key IS NULL THEN pg_catalog.hash_record_extended(ROW(event_name, channel," \
	" user_id, campaign_id, site_id, path, tags, metadata), 0) END"

struct ExportRows
{
	const ExportSteps *steps;
	MemoryContext context; /* in which this is allocated */
	char *statement;
	Datum event_name; /* of type text */
	bool has_event_name;
	ExportPlace place; /* of the last row read */
	bool has_place;
	bool skipping;		  /* the rows before the cursor's place come first */
	TimeRangeList *times; /* still to be read, the first one from at on */
	int next_time;
	TimestampTz at;

	/* the slice being read */
	Portal cursor; /* NULL: none */
	int64 width;
	int64 slice_rows;
	int64 search_time;	  /* until its first row; us */
	SPITupleTable *table; /* NULL: none */
	uint64 n;
	uint64 next;
};

static char *
make_statement(const ExportParameters *parameters)
{
	StringInfoData statement;

	initStringInfo(&statement);
	appendStringInfoString(&statement,
						   "SELECT event_name::text, channel::text, user_id::text, ts,"
						   " campaign_id::text, site_id::text, path::text, tags::text[],"
						   " metadata::jsonb, event_key, ingested_at, " ROW_HASH
						   " FROM fast_ingest.events WHERE ts >= $1 AND ts < $2");
	if (parameters->query.event_name != NULL)
		appendStringInfoString(&statement, " AND event_name = $3");
	ExportFiltersAppend(&statement, &parameters->query);
	appendStringInfoString(&statement, " ORDER BY ts, event_key NULLS LAST, 12");
	return statement.data;
}

/*
 * Cut a long range to the times of its first and last row
 */
static TimeRange
shorten_range(TimeRange range)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(range.low), TimestampTzGetDatum(range.high)};
	bool none;
	Datum first;
	Datum last;

	(void) SpiSelect("SELECT pg_catalog.min(ts), pg_catalog.max(ts) FROM fast_ingest.events"
					 " WHERE ts >= $1 AND ts < $2",
					 1, lengthof(types), types, values);
	first = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &none);
	last = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &none);
	range.low = none ? range.high : DatumGetTimestampTz(first);
	range.high = none ? range.high : DatumGetTimestampTz(last) + 1;
	SPI_freetuptable(SPI_tuptable);
	return range;
}

/*
 * The times that the partitions have of a range, in order
 */
static TimeRangeList *
find_times(TimestampTz low, TimestampTz high)
{
	const TimeRangeList *covered = PartitionsCover(false);
	TimeRangeList *times = palloc0(sizeof(TimeRangeList));

	for (int i = 0; i < covered->n; i++)
	{
		TimeRange range = {Max(covered->ranges[i].low, low), Min(covered->ranges[i].high, high)};

		if (range.low < range.high - LONG_RANGE)
			range = shorten_range(range);
		TimeRangeListAppend(times, range.low, range.high);
	}
	return times;
}

ExportRows *
ExportRowsOpen(const ExportParameters *parameters, const ExportSteps *steps)
{
	ExportRows *rows = palloc0(sizeof(ExportRows));
	TimestampTz low = parameters->query.from;
	SavedUser user;

	rows->steps = steps;
	rows->context = CurrentMemoryContext;
	rows->width = FIRST_WIDTH;
	rows->has_event_name = parameters->query.event_name != NULL;
	if (rows->has_event_name)
		rows->event_name = CStringGetTextDatum(parameters->query.event_name);
	rows->skipping = parameters->cursor != NULL;
	if (rows->skipping)
	{
		rows->place = parameters->behind;
		rows->has_place = true;
		low = Max(low, parameters->behind.ts);
	}

	steps->begin_step();
	rows->statement = make_statement(parameters);
	user = ActAsEventsOwner();
	rows->times = find_times(low, parameters->query.to);
	ActAsCallerAgain(user);
	MemoryContextSwitchTo(rows->context);
	steps->end_step();
	rows->at = rows->times->n > 0 ? rows->times->ranges[0].low : 0;
	return rows;
}

/*
 * Read the next rows of the slice; false, and the slice is over, if there are none
 */
static bool
fetch_rows(ExportRows *rows)
{
	SavedUser user;

	if (rows->table != NULL)
		SPI_freetuptable(rows->table);
	rows->steps->begin_step();
	user = ActAsEventsOwner();
	SPI_cursor_fetch(rows->cursor, true, ROWS_PER_FETCH);
	ActAsCallerAgain(user);
	rows->steps->end_step();
	MemoryContextSwitchTo(rows->context);
	rows->table = SPI_tuptable;
	rows->n = SPI_processed;
	rows->next = 0;
	rows->slice_rows += (int64) rows->n;
	if (rows->n > 0)
		return true;

	SPI_freetuptable(rows->table);
	rows->table = NULL;
	SPI_cursor_close(rows->cursor);
	rows->cursor = NULL;
	return false;
}

/*
 * Choose the width of the next slice
 */
static void
choose_width(ExportRows *rows)
{
	int64 milliseconds = rows->search_time / 1000;

	if (rows->slice_rows > MANY_ROWS || milliseconds > fi_query_timeout / WIDTH_STEP)
		rows->width = Max(rows->width / WIDTH_STEP, LEAST_WIDTH);
	else if (rows->slice_rows < FEW_ROWS && milliseconds < SLOW_SLICE)
		rows->width = Min(rows->width * WIDTH_STEP, USECS_PER_DAY);
}

static void
open_cursor(ExportRows *rows, TimeRange slice)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID};
	Datum values[] = {TimestampTzGetDatum(slice.low), TimestampTzGetDatum(slice.high),
					  rows->event_name};
	SavedUser user;

	rows->steps->begin_step();
	user = ActAsEventsOwner();
	rows->cursor = SPI_cursor_open_with_args(NULL, rows->statement, rows->has_event_name ? 3 : 2,
											 types, values, NULL, true, 0);
	ActAsCallerAgain(user);
	rows->steps->end_step();
	MemoryContextSwitchTo(rows->context);
}

/*
 * Begin with the next slice that has rows; false if there is none
 */
static bool
begin_slice(ExportRows *rows)
{
	while (rows->next_time < rows->times->n)
	{
		TimeRange range = rows->times->ranges[rows->next_time];
		TimeRange slice = {rows->at, Min(range.high, BucketEnd(rows->at + 1, LEVEL_DAY))};
		int64 began = MonotonicNow();
		bool found;

		if (slice.high - slice.low > rows->width)
			slice.high = slice.low + rows->width;
		rows->at = slice.high;
		if (rows->at >= range.high && ++rows->next_time < rows->times->n)
			rows->at = rows->times->ranges[rows->next_time].low;
		rows->slice_rows = 0;
		open_cursor(rows, slice);
		found = fetch_rows(rows);
		rows->search_time = MonotonicNow() - began;
		if (found)
			return true;
		choose_width(rows);
	}
	return false;
}

/*
 * Move to the next row of any slice
 */
static bool
find_next_row(ExportRows *rows)
{
	if (rows->table != NULL && rows->next < rows->n)
		return true;
	if (rows->cursor != NULL)
	{
		if (fetch_rows(rows))
			return true;
		choose_width(rows);
	}
	return begin_slice(rows);
}

/*
 * Compare two places, rows that are alike being one
 */
static int
compare_places(const ExportPlace *a, const ExportPlace *b)
{
	if (a->ts != b->ts)
		return a->ts < b->ts ? -1 : 1;
	if (a->has_key != b->has_key)
		return a->has_key ? -1 : 1;
	if (a->has_key)
		return memcmp(a->key.data, b->key.data, UUID_LEN);
	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static ExportPlace
read_place(HeapTuple tuple, TupleDesc desc)
{
	ExportPlace place = {.n = 1};
	bool isnull;
	Datum key = SPI_getbinval(tuple, desc, EXPORT_EVENT_KEY, &isnull);

	place.has_key = !isnull;
	if (place.has_key)
		place.key = *DatumGetUUIDP(key);
	else
		place.hash = DatumGetInt64(SPI_getbinval(tuple, desc, EXPORT_HASH, &isnull));
	place.ts = DatumGetTimestampTz(SPI_getbinval(tuple, desc, EXPORT_TS, &isnull));
	return place;
}

bool
ExportRowsNext(ExportRows *rows, ExportRow *row)
{
	int64 skipped = 0; /* of the rows that are at the cursor's place */

	while (find_next_row(rows))
	{
		int order = -1;

		row->tuple = rows->table->vals[rows->next++];
		row->desc = rows->table->tupdesc;
		row->place = read_place(row->tuple, row->desc);
		if (rows->has_place)
			order = compare_places(&rows->place, &row->place);
		if (rows->skipping && (order > 0 || (order == 0 && ++skipped <= rows->place.n)))
			continue;
		rows->skipping = false;
		if (order == 0)
			row->place.n = rows->place.n + 1;
		rows->place = row->place;
		rows->has_place = true;
		return true;
	}
	return false;
}
