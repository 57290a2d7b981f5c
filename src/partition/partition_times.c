/*
 * partition_times.c
 *
 * Finds the times of partitions, by their bounds or by the rows in them.
 */
#include "postgres.h"

#include "partition/partition_times.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/own_tables.h"
#include "partition/current_partitions.h"
#include "partition/event_columns.h"
#include "partition/partition_ranges.h"

/* Days gathered before they are joined. */
#define MAX_DAYS 4096

typedef void (*PartitionVisitor)(Oid partition, bool is_leaf, TimeRangeList *times, void *arg);

/*
 * Is a table partitioned by ranges of ts?
 */
static bool
is_by_time(Relation table)
{
	PartitionKey key = RelationGetPartitionKey(table);

	return key->strategy == PARTITION_STRATEGY_RANGE && key->partnatts == 1 &&
		   key->partattrs[0] != 0 && key->parttypid[0] == TIMESTAMPTZOID &&
		   strcmp(get_attname(RelationGetRelid(table), key->partattrs[0], false), "ts") == 0;
}

/*
 * Call a visitor for each partition of a table, with what it takes of the times that the
 * table takes (within)
 */
static void
visit_partitions(Relation table, TimeRangeList *within, bool with_detached,
				 PartitionVisitor visitor, void *arg)
{
	PartitionDesc desc = RelationGetPartitionDesc(table, !with_detached);
	PartitionBoundInfo bounds = desc->boundinfo;
	TimeRangeList bounded = {0};

	if (!is_by_time(table))
	{
		for (int i = 0; i < desc->nparts; i++)
			visitor(desc->oids[i], desc->is_leaf[i], within, arg);
		return;
	}
	for (int bound = 0; bounds != NULL && bound <= bounds->ndatums; bound++)
	{
		int index = bounds->indexes[bound];
		TimeRangeList own = {0};

		if (index < 0)
			continue;
		TimeRangeListAdd(&own, PartitionBoundTime(bounds, bound - 1),
						 PartitionBoundTime(bounds, bound));
		visitor(desc->oids[index], desc->is_leaf[index], TimeRangeListIntersection(&own, within),
				arg);
		if (own.n > 0)
			TimeRangeListAdd(&bounded, own.ranges[0].low, own.ranges[0].high);
	}
	if (bounds != NULL && bounds->default_index >= 0)
		visitor(desc->oids[bounds->default_index], desc->is_leaf[bounds->default_index],
				TimeRangeListDifference(within, &bounded), arg);
}

/*
 * All of time, as a list
 */
static TimeRangeList *
make_list_of_all_times(void)
{
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));

	TimeRangeListAdd(list, TIME_BEGIN, TIME_END);
	return list;
}

bool
IsEventsPartition(Oid table)
{
	Oid events = OwnTableIfThere("events");

	while (OidIsValid(events) && get_rel_relispartition(table))
	{
		table = get_partition_parent(table, true);
		if (table == events)
			return true;
	}
	return false;
}

typedef struct
{
	Oid partition;
	TimeRangeList *times; /* NULL: not found */
} PartitionSearch;

static void
find_partition(Oid partition, bool is_leaf, TimeRangeList *times, void *arg)
{
	PartitionSearch *search = arg;

	if (partition == search->partition)
		search->times = times;
}

static bool
is_whole_hour(TimestampTz ts)
{
	return BucketStart(ts, LEVEL_HOUR) == ts;
}

PartitionTimes
PartitionTimesOf(Oid partition)
{
	Oid parent = get_partition_parent(partition, true);
	PartitionTimes times = {.alone = true};
	PartitionSearch search = {.partition = partition};
	Relation table;

	if (parent == OwnTable("events"))
		times.ranges = make_list_of_all_times();
	else
		times = PartitionTimesOf(parent);
	table = table_open(parent, AccessShareLock);
	visit_partitions(table, times.ranges, true, find_partition, &search);
	times.alone = times.alone && is_by_time(table);
	table_close(table, AccessShareLock);

	times.ranges = search.times ? search.times : palloc0(sizeof(TimeRangeList));
	for (int i = 0; i < times.ranges->n; i++)
		times.alone = times.alone && is_whole_hour(times.ranges->ranges[i].low) &&
					  is_whole_hour(times.ranges->ranges[i].high);
	return times;
}

typedef struct
{
	bool with_detached;
	TimeRangeList *times;
} PartitionCover;

/*
 * Add the times of a leaf partition, or of the leaves of a partition that is partitioned again
 */
static void
cover_leaves(Oid partition, bool is_leaf, TimeRangeList *times, void *arg)
{
	PartitionCover *covered = arg;
	Relation table;

	if (is_leaf)
	{
		for (int i = 0; i < times->n; i++)
			TimeRangeListAppend(covered->times, times->ranges[i].low, times->ranges[i].high);
		return;
	}
	table = table_open(partition, AccessShareLock);
	visit_partitions(table, times, covered->with_detached, cover_leaves, covered);
	table_close(table, AccessShareLock);
}

TimeRangeList *
PartitionsCover(bool with_detached)
{
	PartitionCover covered = {with_detached, palloc0(sizeof(TimeRangeList))};

	CurrentPartitionsLoad();
	cover_leaves(OwnTable("events"), false, make_list_of_all_times(), &covered);
	TimeRangeListJoin(covered.times);
	return covered.times;
}

/*
 * Append the days of a table's own rows, of which few differ from that of the row before
 */
static void
gather_days(Relation table, TimeRangeList *days)
{
	AttrNumber column = EventColumn(table, "ts", TIMESTAMPTZOID);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);
	int limit = MAX_DAYS;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		TimestampTz ts = DatumGetTimestampTz(slot_getattr(slot, column, &isnull));
		TimestampTz day;

		CHECK_FOR_INTERRUPTS();
		EventCheckTime(ts);
		day = BucketStart(ts, LEVEL_DAY);
		if (days->n > 0 && days->ranges[days->n - 1].low == day)
			continue;
		if (days->n >= limit)
		{
			TimeRangeListJoin(days);
			limit = Max(MAX_DAYS, 2 * days->n);
		}
		TimeRangeListAppend(days, day, day + USECS_PER_DAY);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

TimeRangeList *
RowDays(Oid table)
{
	TimeRangeList *days = palloc0(sizeof(TimeRangeList));
	List *members = find_all_inheritors(table, AccessShareLock, NULL);
	ListCell *cell;

	foreach (cell, members)
	{
		Relation member = table_open(lfirst_oid(cell), NoLock);
		char kind = member->rd_rel->relkind;

		if (kind == RELKIND_RELATION)
			gather_days(member, days);
		table_close(member, NoLock);
		if (kind == RELKIND_FOREIGN_TABLE)
			return NULL;
	}
	TimeRangeListJoin(days);
	return days;
}
