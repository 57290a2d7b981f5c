/*
 * recount.c
 *
 * Marks what must be counted again, and finds the marks.
 */
#include "postgres.h"

#include "rollup/state/recount.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/grow_array.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "partition/event_columns.h"
#include "partition/partition_times.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/state/lost_rows.h"

/* Columns of fast_ingest.recount. */
enum
{
	RECOUNT_COLUMN_LOW = 1,
	RECOUNT_COLUMN_HIGH,
	RECOUNT_COLUMN_BREAKDOWN /* NULL: all */
};

/* Most minutes that are gathered before they are marked. */
#define MAX_MINUTES (1024 * 1024)

typedef struct
{
	int n;
	uint32 room;
	int64 *minutes;
} MinuteList;

static int
compare_minutes(const void *a, const void *b)
{
	int64 left = *(const int64 *) a;
	int64 right = *(const int64 *) b;

	return (left > right) - (left < right);
}

void
RecountMark(TimestampTz low, TimestampTz high, int breakdown)
{
	Relation table = table_open(OwnTable("recount"), RowExclusiveLock);
	Datum values[] = {0, 0, Int16GetDatum((int16) breakdown)};
	bool isnull[] = {false, false, breakdown == 0};
	HeapTuple tuple;

	TimeRangeToColumns((TimeRange){low, high}, values);
	tuple = heap_form_tuple(RelationGetDescr(table), values, isnull);
	simple_heap_insert(table, tuple);
	heap_freetuple(tuple);
	table_close(table, NoLock);
}

/*
 * Mark the minutes that were gathered, adjacent ones with one row, and begin anew
 */
static void
mark_minutes(MinuteList *list)
{
	TimeRangeList joined = {0};

	qsort(list->minutes, list->n, sizeof(int64), compare_minutes);
	for (int i = 0; i < list->n; i++)
		TimeRangeListAdd(&joined, list->minutes[i], list->minutes[i] + USECS_PER_MINUTE);
	for (int i = 0; i < joined.n; i++)
		RecountMark(joined.ranges[i].low, joined.ranges[i].high, 0);
	list->n = 0;
}

static void
gather_minutes(MinuteList *list, Relation relation, Tuplestorestate *rows)
{
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	AttrNumber column = EventColumn(relation, "ts", TIMESTAMPTZOID);
	bool isnull;

	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		TimestampTz ts = DatumGetTimestampTz(slot_getattr(slot, column, &isnull));
		int64 minute;

		CHECK_FOR_INTERRUPTS();
		EventCheckTime(ts);
		minute = BucketStart(ts, LEVEL_MINUTE);
		if (list->n > 0 && list->minutes[list->n - 1] == minute)
			continue;
		if (list->n == MAX_MINUTES)
			mark_minutes(list);
		list->minutes =
			GrowArray(CurrentMemoryContext, list->minutes, list->n, &list->room, sizeof(int64));
		list->minutes[list->n++] = minute;
	}
	ExecDropSingleTupleTableSlot(slot);
}

void
RecountMarkRows(Relation relation, Tuplestorestate *before, Tuplestorestate *after)
{
	MinuteList list = {0};

	gather_minutes(&list, relation, before);
	if (after != NULL)
		gather_minutes(&list, relation, after);
	if (list.n > 0)
	{
		mark_minutes(&list);
		pfree(list.minutes);
	}
}

TimeRangeList *
EventsCoverage(Snapshot snapshot)
{
	TimeRangeList *covered = PartitionsCover(false);
	/* queries do not see the rows of a partition that is being detached */
	TimeRangeList *leaving = TimeRangeListDifference(PartitionsCover(true), covered);
	/* a day of which partitions take only a part has no events elsewhere */
	TimeRangeList *present =
		TimeRangeListDifference(TimeRangeListWholeBuckets(covered, LEVEL_DAY), leaving);

	return TimeRangeListDifference(present, LostRowsRanges(snapshot));
}

bool
RecountTouches(Snapshot snapshot, const TimeRangeList *times)
{
	OwnTableScan rows;
	TimeRangeList *days = TimeRangeListWholeBuckets(times, LEVEL_DAY);
	bool touches = false;

	OwnTableScanBegin(&rows, "recount", AccessShareLock, snapshot);
	while (!touches && OwnTableScanNext(&rows))
	{
		TimeRange range = TimeRangeFromColumns(rows.slot, RECOUNT_COLUMN_LOW);

		touches = TimeRangeListTouches(days, range.low, range.high);
	}
	OwnTableScanEnd(&rows);
	return touches;
}

/*
 * The times that are marked in a breakdown, with or without the marks of all breakdowns
 */
static TimeRangeList *
find_marked_times(Snapshot snapshot, int breakdown, bool with_all)
{
	OwnTableScan rows;
	TimeRangeList *found = palloc0(sizeof(TimeRangeList));

	OwnTableScanBegin(&rows, "recount", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		int16 of = DatumGetInt16(slot_getattr(rows.slot, RECOUNT_COLUMN_BREAKDOWN, &isnull));
		bool concerns = isnull ? with_all : of == breakdown;
		TimeRange range;

		if (!concerns)
			continue;
		range = TimeRangeFromColumns(rows.slot, RECOUNT_COLUMN_LOW);
		TimeRangeListAppend(found, range.low, range.high);
	}
	OwnTableScanEnd(&rows);
	TimeRangeListSort(found);
	return found;
}

/*
 * Buckets that are not covered keep what the rollup has counted, which outlives dropped
 * partitions.
 */
TimeRangeList *
RecountRanges(Snapshot snapshot, const Breakdown *breakdown)
{
	TimeRangeList *list = find_marked_times(snapshot, breakdown->id, true);

	if (list->n == 0)
		return list;
	return TimeRangeListIntersection(BreakdownTouchedBuckets(breakdown, list),
									 BreakdownWholeBuckets(breakdown, EventsCoverage(snapshot)));
}

TimeRangeList *
RecountPending(Snapshot snapshot, const Breakdown *breakdown)
{
	TimeRangeList *list = find_marked_times(snapshot, breakdown->id, true);

	if (list->n == 0)
		return list;
	return TimeRangeListDifference(BreakdownTouchedBuckets(breakdown, list),
								   BreakdownTouchedBuckets(breakdown, LostRowsRanges(snapshot)));
}

TimeRangeList *
RecountImpossible(Snapshot snapshot, const Breakdown *breakdown)
{
	TimeRangeList *list = find_marked_times(snapshot, breakdown->id, false);

	if (list->n == 0)
		return list;
	return TimeRangeListIntersection(BreakdownTouchedBuckets(breakdown, list),
									 BreakdownTouchedBuckets(breakdown, LostRowsRanges(snapshot)));
}

void
RecountForget(Snapshot snapshot, const BreakdownList *breakdowns)
{
	TimeRangeList **kept = palloc(Max(breakdowns->n, 1) * sizeof(TimeRangeList *));
	OwnTableScan rows;

	for (int i = 0; i < breakdowns->n; i++)
		kept[i] = RecountImpossible(snapshot, &breakdowns->items[i]);
	OwnTableScanBegin(&rows, "recount", RowExclusiveLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		int16 id = DatumGetInt16(slot_getattr(rows.slot, RECOUNT_COLUMN_BREAKDOWN, &isnull));
		const Breakdown *breakdown = isnull ? NULL : BreakdownById(breakdowns, id);
		TimeRangeList **list = breakdown == NULL ? NULL : &kept[breakdown - breakdowns->items];
		TimeRange range = TimeRangeFromColumns(rows.slot, RECOUNT_COLUMN_LOW);

		/* a mark within what must be kept stays as it is, and its times need no other mark */
		if (list != NULL && TimeRangeListDifference(&(TimeRangeList){1, 1, &range}, *list)->n == 0)
			*list = TimeRangeListDifference(*list, &(TimeRangeList){1, 1, &range});
		else
			OwnTableScanDelete(&rows);
	}
	OwnTableScanEnd(&rows);
	for (int i = 0; i < breakdowns->n; i++)
		for (int j = 0; j < kept[i]->n; j++)
			RecountMark(kept[i]->ranges[j].low, kept[i]->ranges[j].high, breakdowns->items[i].id);
}
