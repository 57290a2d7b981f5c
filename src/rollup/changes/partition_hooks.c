/*
 * partition_hooks.c
 *
 * Follows partitions of events that go and come, whoever moves them. When one is dropped
 * or detached, its changed rows are counted first, and the days are noted whose events have
 * gone (see lost_rows.h). When one is attached, the next refresh counts its rows, and what
 * was noted of it, if it was here before, is removed.
 */
#include "postgres.h"

#include "rollup/changes/partition_hooks.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "db/own_tables.h"
#include "db/utility_hook.h"
#include "partition/partition_times.h"
#include "rollup/refresh/refresh.h"
#include "rollup/state/lost_rows.h"
#include "rollup/state/recount.h"
#include "rollup/state/refresh_lock.h"

static object_access_hook_type prev_object_access_hook = NULL;

/*
 * Is a table a partition of our fast_ingest.events, at any depth?
 */
static bool
is_partition_of_ours(Oid relation)
{
	return IsEventsPartition(relation) && IsEventsTable(OwnTable("events"));
}

/*
 * Note a partition that is dropped. One that is partitioned again needs no note: its own
 * partitions were dropped before it.
 */
static void
note_drop(ObjectAccessType access, Oid class, Oid object, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class, object, sub_id, arg);

	if (access == OAT_DROP && class == RelationRelationId && sub_id == 0 &&
		is_partition_of_ours(object) && get_rel_relkind(object) != RELKIND_PARTITIONED_TABLE)
	{
		PartitionTimes times = PartitionTimesOf(object);

		LostRowsNote(object, &times);
	}
}

/*
 * Mark times to be counted again in all breakdowns
 */
static void
mark_ranges(const TimeRangeList *list)
{
	for (int i = 0; i < list->n; i++)
		RecountMark(list->ranges[i].low, list->ranges[i].high, 0);
}

/*
 * Have the rows of an attached partition counted, as no trigger has seen them. Times that
 * were noted as lost with it may have other events than before, so they are counted again.
 */
static void
mark_attached(Oid partition)
{
	PartitionTimes times;
	TimeRangeList *days;

	CommandCounterIncrement();
	times = PartitionTimesOf(partition);
	PushActiveSnapshot(GetLatestSnapshot());
	mark_ranges(LostRowsForget(partition, times.ranges));
	days = RowDays(partition);
	PopActiveSnapshot();
	mark_ranges(days == NULL ? times.ranges : TimeRangeListIntersection(days, times.ranges));
}

/*
 * Lock a partition as the command that drops or detaches it will. The locks are taken in
 * the order of a refresh, so that the two cannot deadlock.
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
 * Count what was changed in a partition that is about to go, which is impossible afterwards.
 * Unless it is detached concurrently, it is locked first, so that nothing changes in between.
 */
static void
count_changes(Oid partition, bool concurrently)
{
	PartitionTimes times;
	RefreshResult result;
	bool is_marked;

	/* a foreign table must be able to go while its server is away */
	if (XactReadOnly || !is_partition_of_ours(partition) ||
		get_rel_relkind(partition) == RELKIND_FOREIGN_TABLE ||
		!(OwnsRelation(partition) || OwnsRelation(OwnTable("events"))))
		return;
	if (!concurrently)
		lock_partition(partition);
	if (!is_partition_of_ours(partition))
		return; /* it went while this waited for the lock */
	times = PartitionTimesOf(partition);
	PushActiveSnapshot(GetLatestSnapshot());
	is_marked = RecountTouches(GetActiveSnapshot(), times.ranges);
	PopActiveSnapshot();
	if (!is_marked)
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
 * The partition that a command attaches to events or to a partition of events, or detaches
 * from there; InvalidOid if it does neither
 */
static Oid
find_moved_partition(AlterTableStmt *alter, AlterTableCmd **action)
{
	Oid table;

	if (list_length(alter->cmds) != 1)
		return InvalidOid;
	*action = linitial_node(AlterTableCmd, alter->cmds);
	if ((*action)->subtype != AT_AttachPartition && (*action)->subtype != AT_DetachPartition &&
		(*action)->subtype != AT_DetachPartitionFinalize)
		return InvalidOid;
	table = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!IsEventsTable(table) && !is_partition_of_ours(table))
		return InvalidOid;
	return RangeVarGetRelid(castNode(PartitionCmd, (*action)->def)->name, NoLock, true);
}

static void
count_before_drop(const DropStmt *drop)
{
	ListCell *cell;

	if (drop->removeType != OBJECT_TABLE)
		return;
	foreach (cell, drop->objects)
		count_changes(RangeVarGetRelid(makeRangeVarFromNameList(lfirst(cell)), NoLock, true),
					  false);
}

/*
 * The foreign table that a command creates as a partition of some table, or InvalidOid. It
 * may have rows from the start.
 */
static Oid
find_foreign_partition(const CreateForeignTableStmt *create)
{
	return create->base.partbound != NULL ? RangeVarGetRelid(create->base.relation, NoLock, true)
										  : InvalidOid;
}

/* A partition that a command attaches or detaches. */
typedef struct
{
	Oid partition;
	bool is_detached;
	PartitionTimes times; /* of one that is detached */
} MovedPartition;

/*
 * Before a command: count the changes of partitions that go, and find the partition that moves
 */
static void *
before_command(Node *command)
{
	AlterTableCmd *action = NULL;
	MovedPartition moved = {0};
	MovedPartition *state;

	if (IsA(command, DropStmt))
		count_before_drop(castNode(DropStmt, command));
	else if (IsA(command, AlterTableStmt))
		moved.partition = find_moved_partition(castNode(AlterTableStmt, command), &action);
	moved.is_detached = action != NULL && action->subtype != AT_AttachPartition &&
						is_partition_of_ours(moved.partition);
	if (moved.is_detached && action->subtype == AT_DetachPartition)
	{
		count_changes(moved.partition, castNode(PartitionCmd, action->def)->concurrent);
		moved.is_detached = is_partition_of_ours(moved.partition);
	}
	if (moved.is_detached)
		moved.times = PartitionTimesOf(moved.partition);
	else if (!OidIsValid(moved.partition) && !IsA(command, CreateForeignTableStmt))
		return NULL;
	state = palloc(sizeof(MovedPartition));
	*state = moved;
	return state;
}

/*
 * After a command: note a partition that was detached, or mark one that was attached
 */
static void
after_command(Node *command, void *state)
{
	MovedPartition *moved = state;

	if (IsA(command, CreateForeignTableStmt))
		moved->partition = find_foreign_partition(castNode(CreateForeignTableStmt, command));
	if (moved->is_detached)
		LostRowsNote(moved->partition, &moved->times);
	else if (OidIsValid(moved->partition) && is_partition_of_ours(moved->partition))
		mark_attached(moved->partition);
	else
		return;
	CommandCounterIncrement();
}

void
PartitionHooksInit(void)
{
	static const UtilityHook hook = {.before = before_command, .after = after_command};

	prev_object_access_hook = object_access_hook;
	object_access_hook = note_drop;
	UtilityHookRegister(&hook);
}
