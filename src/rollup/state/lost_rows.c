/*
 * lost_rows.c
 *
 * Sees partitions go, whoever drops or detaches them, and remembers the days on
 * which the rollup has counted rows of theirs. Sees them come as well: the rows of
 * one that is attached are counted by the next refresh, and if it has been here
 * before, it is no longer missing.
 */
#include "postgres.h"

#include "rollup/state/lost_rows.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "base/compat.h"
#include "partition/partition_times.h"
#include "rollup/refresh/refresh.h"
#include "rollup/metrics/read_rollup.h"
#include "db/scan_own_table.h"
#include "db/utility_hook.h"

/* Columns of fast_ingest.dropped. */
enum
{
	DROPPED_COLUMN_LOW = 1,
	DROPPED_COLUMN_HIGH,
	DROPPED_COLUMN_PARTITION
};

static object_access_hook_type prev_object_access_hook = NULL;

/*
 * The days on which the rollup has counted rows that were in a partition
 */
static TimeRangeList *
counted_days(Oid partition, const PartitionTimes *times)
{
	TimeRangeList *days = palloc0(sizeof(TimeRangeList));
	TimeRangeList *shared;
	TimeRangeList *held;

	for (int i = 0; i < times->spans->n; i++)
		RollupDays(times->spans->spans[i], days);
	/* the rollup does not know whose events are which, also those of one that has gone */
	shared = days;
	if (times->alone)
		shared = TimeRangeListIntersection(
			days, WholeBuckets(LostRowsRanges(GetActiveSnapshot()), LEVEL_DAY));
	if (shared->n == 0 || (held = RowDays(partition)) == NULL)
		return days;
	return TimeRangeListUnion(TimeRangeListDifference(days, shared),
							  TimeRangeListIntersection(shared, held));
}

static void
insert_spans(Relation table, const TimeRangeList *spans, Oid partition)
{
	for (int i = 0; i < spans->n; i++)
	{
		Datum values[] = {0, 0, ObjectIdGetDatum(partition)};
		bool isnull[] = {false, false, false};

		TimeRangeToColumns(spans->spans[i], values);
		simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
	}
}

/*
 * Remember when a partition that has gone held rows. Who may drop it needs no
 * rights on the rollup.
 */
static void
note_partition(Oid partition, const PartitionTimes *times)
{
	Oid dropped = OwnTableIfThere("dropped");
	Relation table;
	TimeRangeList *days;
	SavedUser user;

	/* in the midst of DROP EXTENSION they are not all there any more */
	if (!OidIsValid(dropped) || !OidIsValid(OwnTableIfThere("rollup")) ||
		!OidIsValid(OwnTableIfThere("rollup_delta")))
		return;
	user = ActAsRollupOwner();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	days = counted_days(partition, times);
	PopActiveSnapshot();

	table = table_open(dropped, RowExclusiveLock);
	insert_spans(table, days, partition);
	table_close(table, NoLock);
	SPI_finish();
	ActAsCallerAgain(user);
}

/*
 * Is it our table, or one in a schema of the same name, which anybody may make
 * where the extension is not created?
 */
static bool
is_events(Oid table)
{
	return OidIsValid(table) && table == OwnTableIfThere("events") &&
		   OidIsValid(get_extension_oid("fast_ingest", true));
}

static bool
is_our_partition(Oid relation)
{
	return IsEventsPartition(relation) && is_events(OwnTable("events"));
}

/*
 * What is partitioned again goes after its own partitions, each of which was seen
 */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class, object, sub_id, arg);

	if (access == OAT_DROP && class == RelationRelationId && sub_id == 0 &&
		is_our_partition(object) && get_rel_relkind(object) != RELKIND_PARTITIONED_TABLE)
	{
		PartitionTimes times = PartitionTimesOf(object);

		note_partition(object, &times);
	}
}

/*
 * Forget what was noted of a partition that is attached again, for the times that it
 * takes this time. It may have changed meanwhile: they are to be counted again.
 */
static void
forget_partition(Oid partition, const TimeRangeList *spans)
{
	OwnTableScan rows;
	TimeRangeList found = {0};
	TimeRangeList *back;

	OwnTableScanBegin(&rows, "dropped", RowExclusiveLock, GetActiveSnapshot());
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		TimeRange span = TimeRangeFromColumns(rows.slot, DROPPED_COLUMN_LOW);

		if (DatumGetObjectId(slot_getattr(rows.slot, DROPPED_COLUMN_PARTITION, &isnull)) !=
			partition)
			continue;
		TimeRangeListAppend(&found, span.low, span.high);
		OwnTableScanDelete(&rows);
	}
	TimeRangeListJoin(&found);
	insert_spans(rows.table, TimeRangeListDifference(&found, spans), partition);
	OwnTableScanEnd(&rows);

	back = TimeRangeListIntersection(&found, spans);
	for (int i = 0; i < back->n; i++)
		RecountMark(back->spans[i].low, back->spans[i].high, 0);
}

/*
 * No trigger saw the rows of a partition that was attached: have them counted
 */
static void
mark_attached(Oid partition)
{
	PartitionTimes times;
	TimeRangeList *days;

	CommandCounterIncrement();
	times = PartitionTimesOf(partition);
	PushActiveSnapshot(GetLatestSnapshot());
	forget_partition(partition, times.spans);
	days = RowDays(partition);
	PopActiveSnapshot();
	days = days == NULL ? times.spans : TimeRangeListIntersection(days, times.spans);
	for (int i = 0; i < days->n; i++)
		RecountMark(days->spans[i].low, days->spans[i].high, 0);
}

/*
 * Keep everybody from a partition, as the command that makes it go is going to. Locks
 * come in the order in which a refresh takes them.
 */
static void
lock_partition(Oid partition)
{
	RefreshLock();
	LockRelationOid(OwnTable("events"), AccessExclusiveLock);
	LockRelationOid(partition, AccessExclusiveLock);
	(void) find_all_inheritors(partition, AccessExclusiveLock, NULL);
}

/*
 * Count what was changed in a partition that is about to go: afterwards nobody can.
 * Unless it goes concurrently, nothing changes in between.
 */
static void
count_changes(Oid partition, bool concurrently)
{
	PartitionTimes times;
	RefreshResult result;
	bool dirty;

	/* a foreign table must be able to go while its server is away */
	if (XactReadOnly || !is_our_partition(partition) ||
		get_rel_relkind(partition) == RELKIND_FOREIGN_TABLE ||
		!(OwnsRelation(partition) || OwnsRelation(OwnTable("events"))))
		return;
	if (!concurrently)
		lock_partition(partition);
	if (!is_our_partition(partition))
		return; /* while we waited */
	times = PartitionTimesOf(partition);
	PushActiveSnapshot(GetLatestSnapshot());
	dirty = RecountTouches(GetActiveSnapshot(), times.spans);
	PopActiveSnapshot();
	if (!dirty)
		return;
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of partition \"%s\" were changed that the rollup does not know yet",
						get_rel_name(partition)),
				 errdetail("They must be counted before they go, which cannot be done at isolation "
						   "level %s.",
						   GetConfigOption("transaction_isolation", false, false)),
				 errhint("Run fi_refresh() before, or use READ COMMITTED.")));
	RefreshRun(&result);
	CommandCounterIncrement();
}

/*
 * The partition that a command attaches to our table, or to a partition of it, or
 * detaches from it; or InvalidOid
 */
static Oid
moved_partition(AlterTableStmt *alter, AlterTableCmd **action)
{
	Oid table;

	if (list_length(alter->cmds) != 1)
		return InvalidOid;
	*action = linitial_node(AlterTableCmd, alter->cmds);
	if ((*action)->subtype != AT_AttachPartition && (*action)->subtype != AT_DetachPartition &&
		(*action)->subtype != AT_DetachPartitionFinalize)
		return InvalidOid;
	table = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!is_events(table) && !is_our_partition(table))
		return InvalidOid;
	return RangeVarGetRelid(castNode(PartitionCmd, (*action)->def)->name, NoLock, true);
}

static void
before_drop(const DropStmt *drop)
{
	ListCell *cell;

	if (drop->removeType != OBJECT_TABLE)
		return;
	foreach (cell, drop->objects)
		count_changes(RangeVarGetRelid(makeRangeVarFromNameList(lfirst(cell)), NoLock, true),
					  false);
}

/*
 * The partition that a command makes with rows in it, which are elsewhere, or
 * InvalidOid
 */
static Oid
foreign_partition(const CreateForeignTableStmt *create)
{
	return create->base.partbound != NULL ? RangeVarGetRelid(create->base.relation, NoLock, true)
										  : InvalidOid;
}

/* A partition that a command attaches or detaches. */
typedef struct
{
	Oid partition;
	bool detached;
	PartitionTimes times; /* of one that is detached */
} MovedPartition;

static void *
before_partition_command(Node *command)
{
	AlterTableCmd *action = NULL;
	MovedPartition moved = {0};
	MovedPartition *state;

	if (IsA(command, DropStmt))
		before_drop(castNode(DropStmt, command));
	else if (IsA(command, AlterTableStmt))
		moved.partition = moved_partition(castNode(AlterTableStmt, command), &action);
	moved.detached = action != NULL && action->subtype != AT_AttachPartition &&
					 is_our_partition(moved.partition);
	if (moved.detached && action->subtype == AT_DetachPartition)
	{
		count_changes(moved.partition, castNode(PartitionCmd, action->def)->concurrent);
		moved.detached = is_our_partition(moved.partition);
	}
	if (moved.detached)
		moved.times = PartitionTimesOf(moved.partition);
	else if (!OidIsValid(moved.partition) && !IsA(command, CreateForeignTableStmt))
		return NULL;
	state = palloc(sizeof(MovedPartition));
	*state = moved;
	return state;
}

static void
after_partition_command(Node *command, void *state)
{
	MovedPartition *moved = state;

	if (IsA(command, CreateForeignTableStmt))
		moved->partition = foreign_partition(castNode(CreateForeignTableStmt, command));
	if (moved->detached)
		note_partition(moved->partition, &moved->times);
	else if (OidIsValid(moved->partition) && is_our_partition(moved->partition))
		mark_attached(moved->partition);
	else
		return;
	CommandCounterIncrement();
}

void
LostRowsHooksInit(void)
{
	static const UtilityHook hook = {.before = before_partition_command,
									 .after = after_partition_command};

	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
	UtilityHookRegister(&hook);
}

TimeRangeList *
LostRowsRanges(Snapshot snapshot)
{
	OwnTableScan rows;
	TimeRangeList *spans = palloc0(sizeof(TimeRangeList));

	OwnTableScanBegin(&rows, "dropped", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		TimeRange span = TimeRangeFromColumns(rows.slot, DROPPED_COLUMN_LOW);

		TimeRangeListAppend(spans, span.low, span.high);
	}
	OwnTableScanEnd(&rows);
	TimeRangeListJoin(spans);
	return spans;
}
