/*
 * recount.c
 *
 * Marking what must be counted again, and finding the marks.
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
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/grow_array.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "partition/event_columns.h"
#include "partition/partition_times.h"
#include "rollup/state/lost_rows.h"

/* Columns of fast_ingest.rollup_dirty. */
enum
{
	DIRTY_COLUMN_LOW = 1,
	DIRTY_COLUMN_HIGH,
	DIRTY_COLUMN_BREAKDOWN /* NULL: all */
};

/* Minutes gathered before they are sorted and joined. */
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
	Relation table = table_open(OwnTable("rollup_dirty"), RowExclusiveLock);
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
 * Mark what was gathered, neighbours together
 */
static void
mark_minutes(MinuteList *list)
{
	TimeRangeList spans = {0};

	qsort(list->minutes, list->n, sizeof(int64), compare_minutes);
	for (int i = 0; i < list->n; i++)
		TimeRangeListAdd(&spans, list->minutes[i], list->minutes[i] + USECS_PER_MINUTE);
	for (int i = 0; i < spans.n; i++)
		RecountMark(spans.ranges[i].low, spans.ranges[i].high, 0);
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
	/* readers do not see any more what is being detached */
	TimeRangeList *leaving = TimeRangeListDifference(PartitionsCover(true), covered);
	/* where a partition takes only part of a day, the rest has no rows */
	TimeRangeList *there =
		TimeRangeListDifference(TimeRangeListWholeBuckets(covered, LEVEL_DAY), leaving);

	return TimeRangeListDifference(there, LostRowsRanges(snapshot));
}

/*
 * Those whole buckets whose rows can be counted: the rollup outlives its rows,
 * and what it has of a partition that was dropped must stay
 */
static TimeRangeList *
where_rows_are(const TimeRangeList *dirty, BucketLevel level, Snapshot snapshot)
{
	TimeRangeList *covered = EventsCoverage(snapshot);
	TimeRangeList buckets = {0};

	for (int i = 0; i < covered->n; i++)
		TimeRangeListAdd(&buckets, BucketEnd(covered->ranges[i].low, level),
						 BucketStart(covered->ranges[i].high, level));
	return TimeRangeListIntersection(dirty, &buckets);
}

bool
RecountTouches(Snapshot snapshot, const TimeRangeList *spans)
{
	OwnTableScan rows;
	TimeRangeList *days = TimeRangeListWholeBuckets(spans, LEVEL_DAY);
	bool touches = false;

	OwnTableScanBegin(&rows, "rollup_dirty", AccessShareLock, snapshot);
	while (!touches && OwnTableScanNext(&rows))
	{
		TimeRange span = TimeRangeFromColumns(rows.slot, DIRTY_COLUMN_LOW);

		touches = TimeRangeListTouches(days, span.low, span.high);
	}
	OwnTableScanEnd(&rows);
	return touches;
}

/*
 * Marks of a breakdown, in whole buckets of a level; those of all breakdowns among
 * them if asked for
 */
static TimeRangeList *
marked_buckets(Snapshot snapshot, int breakdown, BucketLevel level, bool with_all)
{
	OwnTableScan rows;
	TimeRangeList found = {0};

	OwnTableScanBegin(&rows, "rollup_dirty", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		int16 of = DatumGetInt16(slot_getattr(rows.slot, DIRTY_COLUMN_BREAKDOWN, &isnull));
		bool concerns = isnull ? with_all : of == breakdown;
		TimeRange span;

		if (!concerns)
			continue;
		span = TimeRangeFromColumns(rows.slot, DIRTY_COLUMN_LOW);
		TimeRangeListAppend(&found, span.low, span.high);
	}
	OwnTableScanEnd(&rows);
	TimeRangeListSort(&found);
	return TimeRangeListWholeBuckets(&found, level);
}

TimeRangeList *
RecountRanges(Snapshot snapshot, int breakdown, BucketLevel level)
{
	TimeRangeList *list = marked_buckets(snapshot, breakdown, level, true);

	return list->n == 0 ? list : where_rows_are(list, level, snapshot);
}

TimeRangeList *
RecountImpossible(Snapshot snapshot, int breakdown, BucketLevel level)
{
	TimeRangeList *list = marked_buckets(snapshot, breakdown, level, false);

	return list->n == 0 ? list
						: TimeRangeListIntersection(
							  list, TimeRangeListWholeBuckets(LostRowsRanges(snapshot), level));
}

void
RecountForget(Snapshot snapshot, const BreakdownList *breakdowns)
{
	TimeRangeList **kept = palloc(Max(breakdowns->n, 1) * sizeof(TimeRangeList *));
	OwnTableScan rows;

	for (int i = 0; i < breakdowns->n; i++)
		kept[i] = RecountImpossible(snapshot, breakdowns->items[i].id, breakdowns->items[i].finest);
	OwnTableScanBegin(&rows, "rollup_dirty", RowExclusiveLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		int16 id = DatumGetInt16(slot_getattr(rows.slot, DIRTY_COLUMN_BREAKDOWN, &isnull));
		const Breakdown *breakdown = isnull ? NULL : BreakdownById(breakdowns, id);
		TimeRangeList **list = breakdown == NULL ? NULL : &kept[breakdown - breakdowns->items];
		TimeRange span = TimeRangeFromColumns(rows.slot, DIRTY_COLUMN_LOW);

		/* a mark that stays as it is need not be written again */
		if (list != NULL && TimeRangeListDifference(&(TimeRangeList){1, 1, &span}, *list)->n == 0)
			*list = TimeRangeListDifference(*list, &(TimeRangeList){1, 1, &span});
		else
			OwnTableScanDelete(&rows);
	}
	OwnTableScanEnd(&rows);
	for (int i = 0; i < breakdowns->n; i++)
		for (int j = 0; j < kept[i]->n; j++)
			RecountMark(kept[i]->ranges[j].low, kept[i]->ranges[j].high, breakdowns->items[i].id);
}
