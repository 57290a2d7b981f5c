/*
 * lost_rows.c
 *
 * Notes and reads the times of lost rows.
 */
#include "postgres.h"

#include "rollup/state/lost_rows.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "db/spi.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/delta/delta_rows.h"

/* Columns of fast_ingest.lost_rows. */
enum
{
	LOST_COLUMN_LOW = 1,
	LOST_COLUMN_HIGH,
	LOST_COLUMN_PARTITION
};

/* The hours from $1, and the minutes from $2, to before $3 in which channels have events. */
#define COUNTED_BUCKETS \
	" FROM fast_ingest.rollup WHERE breakdown = 1 AND level IN (1, 2)" \
	" AND bucket >= $1 AND bucket < $3 AND (level = 2 OR bucket >= $2)"

/*
 * Append the day of a time, unless it was appended last
 */
static void
append_day(TimeRangeList *days, TimestampTz ts)
{
	TimestampTz day = BucketStart(ts, LEVEL_DAY);

	if (days->n == 0 || days->ranges[days->n - 1].low != day)
		TimeRangeListAppend(days, day, day + USECS_PER_DAY);
}

static void
append_delta_day(const DeltaRow *row, void *arg)
{
	append_day(arg, row->bucket);
}

/*
 * Append the parts of a range that are on UTC days of which the rollup has counted events
 * within the range, or will when it merges the deltas. Exact for ranges of whole hours.
 */
static void
append_counted_days(TimeRange range, TimeRangeList *days)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(BucketStart(range.low, LEVEL_HOUR)),
					  TimestampTzGetDatum(BucketStart(range.low, LEVEL_MINUTE)),
					  TimestampTzGetDatum(range.high)};
	/* a single row settles it where the range is within a day, as most partitions are */
	bool one_day = BucketStart(range.low, LEVEL_DAY) == BucketStart(range.high - 1, LEVEL_DAY);
	DeltaSelection deltas = {.breakdown = BREAKDOWN_CHANNEL,
							 .range = {BucketStart(range.low, LEVEL_MINUTE), range.high}};
	TimeRangeList found = {0};
	uint64 n;

	PushActiveSnapshot(GetLatestSnapshot());
	n = SpiSelect(one_day ? "SELECT bucket" COUNTED_BUCKETS
						  : "SELECT DISTINCT date_trunc('day', bucket, 'UTC')" COUNTED_BUCKETS,
				  one_day ? 1 : 0, 3, types, values);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;

		append_day(&found, DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[i],
															 SPI_tuptable->tupdesc, 1, &isnull)));
	}
	if (n == 0 || !one_day)
		DeltaRows(GetActiveSnapshot(), NULL, &deltas, append_delta_day, &found);
	PopActiveSnapshot();

	TimeRangeListJoin(&found);
	for (int i = 0; i < found.n; i++)
		TimeRangeListAppend(days, Max(found.ranges[i].low, range.low),
							Min(found.ranges[i].high, range.high));
}

/*
 * The days on which the rollup has counted events that were in a partition
 */
static TimeRangeList *
find_counted_days(Oid partition, const PartitionTimes *times)
{
	TimeRangeList *days = palloc0(sizeof(TimeRangeList));
	TimeRangeList *shared;
	TimeRangeList *held;

	for (int i = 0; i < times->ranges->n; i++)
		append_counted_days(times->ranges->ranges[i], days);
	/* the rollup cannot tell events of several partitions apart, also of one that has gone */
	shared = days;
	if (times->alone)
		shared = TimeRangeListIntersection(
			days, TimeRangeListWholeBuckets(LostRowsRanges(GetActiveSnapshot()), LEVEL_DAY));
	if (shared->n == 0 || (held = RowDays(partition)) == NULL)
		return days;
	return TimeRangeListUnion(TimeRangeListDifference(days, shared),
							  TimeRangeListIntersection(shared, held));
}

static void
insert_ranges(Relation table, const TimeRangeList *list, Oid partition)
{
	for (int i = 0; i < list->n; i++)
	{
		Datum values[] = {0, 0, ObjectIdGetDatum(partition)};
		bool isnull[] = {false, false, false};

		TimeRangeToColumns(list->ranges[i], values);
		simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
	}
}

void
LostRowsNote(Oid partition, const PartitionTimes *times)
{
	Oid lost_rows = OwnTableIfThere("lost_rows");
	Relation table;
	TimeRangeList *days;
	SavedUser user;

	/* in the midst of DROP EXTENSION some of them are gone */
	if (!OidIsValid(lost_rows) || !OidIsValid(OwnTableIfThere("rollup")) ||
		!OidIsValid(OwnTableIfThere("rollup_delta")))
		return;
	user = ActAsRollupOwner();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	days = find_counted_days(partition, times);
	PopActiveSnapshot();

	table = table_open(lost_rows, RowExclusiveLock);
	insert_ranges(table, days, partition);
	table_close(table, NoLock);
	SPI_finish();
	ActAsCallerAgain(user);
}

TimeRangeList *
LostRowsForget(Oid partition, const TimeRangeList *times)
{
	OwnTableScan rows;
	TimeRangeList found = {0};

	OwnTableScanBegin(&rows, "lost_rows", RowExclusiveLock, GetActiveSnapshot());
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		TimeRange range = TimeRangeFromColumns(rows.slot, LOST_COLUMN_LOW);

		if (DatumGetObjectId(slot_getattr(rows.slot, LOST_COLUMN_PARTITION, &isnull)) != partition)
			continue;
		TimeRangeListAppend(&found, range.low, range.high);
		OwnTableScanDelete(&rows);
	}
	TimeRangeListJoin(&found);
	insert_ranges(rows.table, TimeRangeListDifference(&found, times), partition);
	OwnTableScanEnd(&rows);
	return TimeRangeListIntersection(&found, times);
}

TimeRangeList *
LostRowsRanges(Snapshot snapshot)
{
	OwnTableScan rows;
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));

	OwnTableScanBegin(&rows, "lost_rows", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		TimeRange range = TimeRangeFromColumns(rows.slot, LOST_COLUMN_LOW);

		TimeRangeListAppend(list, range.low, range.high);
	}
	OwnTableScanEnd(&rows);
	TimeRangeListJoin(list);
	return list;
}
