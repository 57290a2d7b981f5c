/*
 * read_rollup.c
 *
 * The statements are prepared once in a process and planned once, whatever
 * their parameters: finding rows by the index is always right.
 */
#include "postgres.h"

#include "rollup/metrics/read_rollup.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/own_tables.h"
#include "db/spi.h"
#include "db/scan_own_table.h"

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
prepared_plan(bool with_key)
{
	static SPIPlanPtr plans[2];
	Oid types[] = {INT2OID, INT2OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID};

	if (plans[with_key] == NULL)
		plans[with_key] = SpiPrepare(with_key ? ROWS_OF_LEVEL WITH_KEY : ROWS_OF_LEVEL,
									 with_key ? 6 : 5, types, CURSOR_OPT_GENERIC_PLAN);
	return plans[with_key];
}

static Datum
column(SPITupleTable *rows, uint64 row, int number)
{
	bool isnull;
	Datum value = SPI_getbinval(rows->vals[row], rows->tupdesc, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

/*
 * Visit the rows of the result
 */
static int64
visit_rows(RollupRowVisitor visitor, void *arg)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64 n = SPI_processed;

	for (uint64 i = 0; i < n; i++)
	{
		struct varlena *text = PG_DETOAST_DATUM_PACKED(column(rows, i, ROW_COLUMN_KEY));
		RollupRow row;

		CHECK_FOR_INTERRUPTS();
		row.bucket = DatumGetTimestampTz(column(rows, i, ROW_COLUMN_BUCKET));
		row.key = DatumGetBool(column(rows, i, ROW_COLUMN_IS_OTHER)) ? NULL : VARDATA_ANY(text);
		row.key_len = VARSIZE_ANY_EXHDR(text);
		row.events = DatumGetInt64(column(rows, i, ROW_COLUMN_EVENTS));
		row.unique_users = DatumGetInt64(column(rows, i, ROW_COLUMN_UNIQUE_USERS));
		row.users = column(rows, i, ROW_COLUMN_USERS);
		row.minutes = column(rows, i, ROW_COLUMN_MINUTES);
		visitor(&row, arg);
	}
	SPI_freetuptable(rows);
	return (int64) n;
}

int64
RollupRows(int breakdown, RollupLevel level, const char *event_name, const char *key,
		   TimeRange span, RollupRowVisitor visitor, void *arg)
{
	Datum values[6];

	values[0] = Int16GetDatum((int16) breakdown);
	values[1] = Int16GetDatum((int16) level);
	values[2] = CStringGetTextDatum(event_name);
	values[3] = TimestampTzGetDatum(span.low);
	values[4] = TimestampTzGetDatum(span.high);
	values[5] = key ? CStringGetTextDatum(key) : (Datum) 0;
	(void) SpiSelectPlan(prepared_plan(key != NULL), values);
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
		low = column(SPI_tuptable, 0, 1);
		high = column(SPI_tuptable, 0, 2);
		if (high != (Datum) 0 || low != (Datum) 0)
		{
			extent.low = Min(extent.low, DatumGetTimestampTz(low));
			extent.high = Max(extent.high, DatumGetTimestampTz(high) + BucketWidth(level));
		}
		SPI_freetuptable(SPI_tuptable);
	}
	return extent;
}

/*
 * Visit the groups of one delta
 */
static void
visit_groups(const struct varlena *groups, int breakdown, const char *event_name, TimeRange span,
			 DeltaRowVisitor visitor, void *arg)
{
	DeltaReader reader;
	DeltaSectionReader section;
	uint32 name;

	DeltaRead(&reader, groups);
	for (name = 0; event_name != NULL && name < reader.header->nstrings; name++)
	{
		uint32 len;
		const char *text = DeltaString(&reader, name, &len);

		if (IsText(text, (int) len, event_name))
			break;
	}
	if (name == reader.header->nstrings)
		return;
	while (DeltaNextSection(&reader, &section))
	{
		const uint16 *ref = section.refs;

		if (section.breakdown != breakdown)
			continue;
		for (uint32 i = 0; i < section.ngroups; i++)
		{
			const DeltaGroup *group = &section.groups[i];
			TimestampTz bucket = DeltaBucket(group);

			if ((event_name == NULL || group->event_name == name) && bucket >= span.low &&
				bucket < span.high)
			{
				uint32 scope_len;
				uint32 key_len;
				DeltaRow row;

				row.bucket = bucket;
				row.scope = DeltaString(&reader, group->scope, &scope_len);
				row.key = DeltaString(&reader, group->key, &key_len);
				row.scope_len = (int) scope_len;
				row.key_len = (int) key_len;
				row.events = group->events;
				row.nusers = group->nrefs;
				row.hashes = reader.users;
				row.users = ref;
				visitor(&row, arg);
			}
			ref += group->nrefs;
		}
	}
}

void
DeltaRows(Snapshot snapshot, int breakdown, const char *event_name, TimeRange span,
		  DeltaRowVisitor visitor, void *arg)
{
	OwnTableScan rows;

	OwnTableScanBegin(&rows, "rollup_delta", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		Datum value;
		struct varlena *groups;

		if (DatumGetTimestampTz(slot_getattr(rows.slot, DELTA_COLUMN_LAST, &isnull)) < span.low ||
			DatumGetTimestampTz(slot_getattr(rows.slot, DELTA_COLUMN_FIRST, &isnull)) >= span.high)
			continue;
		value = slot_getattr(rows.slot, DELTA_COLUMN_GROUPS, &isnull);
		groups = PG_DETOAST_DATUM(value);
		visit_groups(groups, breakdown, event_name, span, visitor, arg);
		if ((Pointer) groups != DatumGetPointer(value))
			pfree(groups);
	}
	OwnTableScanEnd(&rows);
}

/*
 * Append the day of a time, unless it was the last one
 */
static void
append_day(TimeRangeList *days, TimestampTz ts)
{
	TimestampTz day = BucketStart(ts, LEVEL_DAY);

	if (days->n == 0 || days->spans[days->n - 1].low != day)
		TimeRangeListAppend(days, day, day + USECS_PER_DAY);
}

static void
append_delta_day(const DeltaRow *row, void *arg)
{
	append_day(arg, row->bucket);
}

/* Hours and minutes from $1 or $2 to before $3 that channels have events in */
#define KNOWN_BUCKETS \
	" FROM fast_ingest.rollup WHERE breakdown = 1 AND level IN (1, 2)" \
	" AND bucket >= $1 AND bucket < $3 AND (level = 2 OR bucket >= $2)"

void
RollupDays(TimeRange span, TimeRangeList *days)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(BucketStart(span.low, LEVEL_HOUR)),
					  TimestampTzGetDatum(BucketStart(span.low, LEVEL_MINUTE)),
					  TimestampTzGetDatum(span.high)};
	/* of one day the first row says all, and most partitions are of one */
	bool one_day = BucketStart(span.low, LEVEL_DAY) == BucketStart(span.high - 1, LEVEL_DAY);
	TimeRangeList found = {0};
	uint64 n;

	PushActiveSnapshot(GetLatestSnapshot());
	n = SpiSelect(one_day ? "SELECT bucket" KNOWN_BUCKETS
						  : "SELECT DISTINCT date_trunc('day', bucket, 'UTC')" KNOWN_BUCKETS,
				  one_day ? 1 : 0, 3, types, values);
	for (uint64 i = 0; i < n; i++)
		append_day(&found, DatumGetTimestampTz(column(SPI_tuptable, i, 1)));
	if (n == 0 || !one_day)
		DeltaRows(GetActiveSnapshot(), BREAKDOWN_CHANNEL, NULL,
				  (TimeRange){BucketStart(span.low, LEVEL_MINUTE), span.high}, append_delta_day,
				  &found);
	PopActiveSnapshot();

	TimeRangeListJoin(&found);
	for (int i = 0; i < found.n; i++)
		TimeRangeListAppend(days, Max(found.spans[i].low, span.low),
							Min(found.spans[i].high, span.high));
}

RollupState
RollupStateRead(Snapshot snapshot)
{
	RollupState state = {TIME_BEGIN, TIME_BEGIN, 0};
	OwnTableScan rows;

	OwnTableScanBegin(&rows, "rollup_state", AccessShareLock, snapshot);
	if (OwnTableScanNext(&rows))
	{
		bool isnull;

		state.hours_closed = DatumGetTimestampTz(slot_getattr(rows.slot, 1, &isnull));
		state.days_closed = DatumGetTimestampTz(slot_getattr(rows.slot, 2, &isnull));
		state.users = DatumGetInt64(slot_getattr(rows.slot, 3, &isnull));
	}
	OwnTableScanEnd(&rows);
	return state;
}
