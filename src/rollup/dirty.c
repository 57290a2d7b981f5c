/*
 * dirty.c
 *
 * Marking what must be counted again, and finding the marks.
 */
#include "postgres.h"

#include "rollup/dirty.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "rollup/dropped.h"
#include "rollup/partition_spans.h"
#include "room.h"
#include "table_rows.h"

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
DirtyMark(TimestampTz low, TimestampTz high, int breakdown)
{
	Relation table = table_open(ExtensionTable("rollup_dirty"), RowExclusiveLock);
	Datum values[] = {0, 0, Int16GetDatum((int16) breakdown)};
	bool isnull[] = {false, false, breakdown == 0};
	HeapTuple tuple;

	SpanToColumns((Span){low, high}, values);
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
	SpanList spans = {0};

	qsort(list->minutes, list->n, sizeof(int64), compare_minutes);
	for (int i = 0; i < list->n; i++)
		SpanListAdd(&spans, list->minutes[i], list->minutes[i] + USECS_PER_MINUTE);
	for (int i = 0; i < spans.n; i++)
		DirtyMark(spans.spans[i].low, spans.spans[i].high, 0);
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
		list->minutes = RoomForOneMore(CurrentMemoryContext, list->minutes, list->n, &list->room,
									   sizeof(int64));
		list->minutes[list->n++] = minute;
	}
	ExecDropSingleTupleTableSlot(slot);
}

void
DirtyMarkRows(Relation relation, Tuplestorestate *before, Tuplestorestate *after)
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

/* The end of the last bucket that has a part before a time */
static TimestampTz
bucket_end(TimestampTz high, RollupLevel level)
{
	return BucketStart(high - 1, level) + BucketWidth(level);
}

SpanList *
WholeBuckets(const SpanList *spans, RollupLevel level)
{
	SpanList *buckets = palloc0(sizeof(SpanList));

	for (int i = 0; i < spans->n; i++)
		SpanListAdd(buckets, BucketStart(spans->spans[i].low, level),
					bucket_end(spans->spans[i].high, level));
	return buckets;
}

SpanList *
RawCoverage(Snapshot snapshot)
{
	SpanList *covered = PartitionsCover(false);
	/* readers do not see any more what is being detached */
	SpanList *leaving = SpanListDifference(PartitionsCover(true), covered);
	/* where a partition takes only part of a day, the rest has no rows */
	SpanList *there = SpanListDifference(WholeBuckets(covered, LEVEL_DAY), leaving);

	return SpanListDifference(there, DroppedSpans(snapshot));
}

/*
 * Those whole buckets whose rows can be counted: the rollup outlives its rows,
 * and what it has of a partition that was dropped must stay
 */
static SpanList *
where_rows_are(const SpanList *dirty, RollupLevel level, Snapshot snapshot)
{
	SpanList *covered = RawCoverage(snapshot);
	SpanList buckets = {0};

	for (int i = 0; i < covered->n; i++)
		SpanListAdd(&buckets, bucket_end(covered->spans[i].low, level),
					BucketStart(covered->spans[i].high, level));
	return SpanListIntersection(dirty, &buckets);
}

bool
DirtyTouches(Snapshot snapshot, const SpanList *spans)
{
	TableRows rows;
	SpanList *days = WholeBuckets(spans, LEVEL_DAY);
	bool touches = false;

	TableRowsBegin(&rows, "rollup_dirty", AccessShareLock, snapshot);
	while (!touches && TableRowsNext(&rows))
	{
		Span span = SpanFromColumns(rows.slot, DIRTY_COLUMN_LOW);

		touches = SpanListTouches(days, span.low, span.high);
	}
	TableRowsEnd(&rows);
	return touches;
}

/*
 * Marks of a breakdown, in whole buckets of a level; those of all breakdowns among
 * them if asked for
 */
static SpanList *
marked_buckets(Snapshot snapshot, int breakdown, RollupLevel level, bool with_all)
{
	TableRows rows;
	SpanList found = {0};

	TableRowsBegin(&rows, "rollup_dirty", AccessShareLock, snapshot);
	while (TableRowsNext(&rows))
	{
		bool isnull;
		int16 of = DatumGetInt16(slot_getattr(rows.slot, DIRTY_COLUMN_BREAKDOWN, &isnull));
		bool concerns = isnull ? with_all : of == breakdown;
		Span span;

		if (!concerns)
			continue;
		span = SpanFromColumns(rows.slot, DIRTY_COLUMN_LOW);
		SpanListAppend(&found, span.low, span.high);
	}
	TableRowsEnd(&rows);
	SpanListSort(&found);
	return WholeBuckets(&found, level);
}

SpanList *
DirtySpans(Snapshot snapshot, int breakdown, RollupLevel level)
{
	SpanList *list = marked_buckets(snapshot, breakdown, level, true);

	return list->n == 0 ? list : where_rows_are(list, level, snapshot);
}

SpanList *
DirtyForGood(Snapshot snapshot, int breakdown, RollupLevel level)
{
	SpanList *list = marked_buckets(snapshot, breakdown, level, false);

	return list->n == 0 ? list
						: SpanListIntersection(list, WholeBuckets(DroppedSpans(snapshot), level));
}

void
DirtyForget(Snapshot snapshot, const BreakdownList *breakdowns)
{
	SpanList **kept = palloc(Max(breakdowns->n, 1) * sizeof(SpanList *));
	TableRows rows;

	for (int i = 0; i < breakdowns->n; i++)
		kept[i] = DirtyForGood(snapshot, breakdowns->items[i].id, breakdowns->items[i].finest);
	TableRowsBegin(&rows, "rollup_dirty", RowExclusiveLock, snapshot);
	while (TableRowsNext(&rows))
	{
		bool isnull;
		int16 id = DatumGetInt16(slot_getattr(rows.slot, DIRTY_COLUMN_BREAKDOWN, &isnull));
		const Breakdown *breakdown = isnull ? NULL : BreakdownById(breakdowns, id);
		SpanList **list = breakdown == NULL ? NULL : &kept[breakdown - breakdowns->items];
		Span span = SpanFromColumns(rows.slot, DIRTY_COLUMN_LOW);

		/* a mark that stays as it is need not be written again */
		if (list != NULL && SpanListDifference(&(SpanList){1, 1, &span}, *list)->n == 0)
			*list = SpanListDifference(*list, &(SpanList){1, 1, &span});
		else
			TableRowsDelete(&rows);
	}
	TableRowsEnd(&rows);
	for (int i = 0; i < breakdowns->n; i++)
		for (int j = 0; j < kept[i]->n; j++)
			DirtyMark(kept[i]->spans[j].low, kept[i]->spans[j].high, breakdowns->items[i].id);
}
