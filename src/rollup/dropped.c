/*
 * dropped.c
 *
 * Sees partitions go, whoever drops or detaches them, and remembers the days on
 * which the rollup has counted rows of theirs. Sees them come as well: the rows of
 * one that is attached are counted by the next refresh, and if it has been here
 * before, it is no longer missing.
 */
#include "postgres.h"

#include "rollup/dropped.h"

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
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "rollup/partition_spans.h"
#include "rollup/refresh.h"
#include "rollup/source.h"
#include "table_rows.h"

/* Columns of fast_ingest.dropped. */
enum
{
	DROPPED_COLUMN_LOW = 1,
	DROPPED_COLUMN_HIGH,
	DROPPED_COLUMN_PARTITION
};

static object_access_hook_type prev_object_access_hook = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;

/*
 * The days on which the rollup has counted rows that were in a partition
 */
static SpanList *
counted_days(Oid partition, const PartitionSpans *times)
{
	SpanList *days = palloc0(sizeof(SpanList));
	SpanList *shared;
	SpanList *held;

	for (int i = 0; i < times->spans->n; i++)
		RollupDays(times->spans->spans[i], days);
	/* the rollup does not know whose events are which, also those of one that has gone */
	shared = days;
	if (times->alone)
		shared =
			SpanListIntersection(days, WholeBuckets(DroppedSpans(GetActiveSnapshot()), LEVEL_DAY));
	if (shared->n == 0 || (held = RowDays(partition)) == NULL)
		return days;
	return SpanListUnion(SpanListDifference(days, shared), SpanListIntersection(shared, held));
}

static void
insert_spans(Relation table, const SpanList *spans, Oid partition)
{
	for (int i = 0; i < spans->n; i++)
	{
		Datum values[] = {0, 0, ObjectIdGetDatum(partition)};
		bool isnull[] = {false, false, false};

		SpanToColumns(spans->spans[i], values);
		simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
	}
}

/*
 * Remember when a partition that has gone held rows. Who may drop it needs no
 * rights on the rollup.
 */
static void
note_partition(Oid partition, const PartitionSpans *times)
{
	Oid dropped = ExtensionTableIfThere("dropped");
	Relation table;
	SpanList *days;
	SavedUser user;

	/* in the midst of DROP EXTENSION they are not all there any more */
	if (!OidIsValid(dropped) || !OidIsValid(ExtensionTableIfThere("rollup")) ||
		!OidIsValid(ExtensionTableIfThere("rollup_delta")))
		return;
	user = ExtensionBecomeOwner();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	days = counted_days(partition, times);
	PopActiveSnapshot();

	table = table_open(dropped, RowExclusiveLock);
	insert_spans(table, days, partition);
	table_close(table, NoLock);
	SPI_finish();
	ExtensionBecomeUser(user);
}

/*
 * Is it our table, or one in a schema of the same name, which anybody may make
 * where the extension is not created?
 */
static bool
is_events(Oid table)
{
	return OidIsValid(table) && table == ExtensionTableIfThere("events") &&
		   OidIsValid(get_extension_oid("fast_ingest", true));
}

static bool
is_our_partition(Oid relation)
{
	return IsEventsPartition(relation) && is_events(ExtensionTable("events"));
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
		PartitionSpans times = PartitionSpansOf(object);

		note_partition(object, &times);
	}
}

/*
 * Forget what was noted of a partition that is attached again, for the times that it
 * takes this time. It may have changed meanwhile: they are to be counted again.
 */
static void
forget_partition(Oid partition, const SpanList *spans)
{
	TableRows rows;
	SpanList found = {0};
	SpanList *back;

	TableRowsBegin(&rows, "dropped", RowExclusiveLock, GetActiveSnapshot());
	while (TableRowsNext(&rows))
	{
		bool isnull;
		Span span = SpanFromColumns(rows.slot, DROPPED_COLUMN_LOW);

		if (DatumGetObjectId(slot_getattr(rows.slot, DROPPED_COLUMN_PARTITION, &isnull)) !=
			partition)
			continue;
		SpanListAppend(&found, span.low, span.high);
		TableRowsDelete(&rows);
	}
	SpanListJoin(&found);
	insert_spans(rows.table, SpanListDifference(&found, spans), partition);
	TableRowsEnd(&rows);

	back = SpanListIntersection(&found, spans);
	for (int i = 0; i < back->n; i++)
		DirtyMark(back->spans[i].low, back->spans[i].high, 0);
}

/*
 * No trigger saw the rows of a partition that was attached: have them counted
 */
static void
mark_attached(Oid partition)
{
	PartitionSpans times;
	SpanList *days;

	CommandCounterIncrement();
	times = PartitionSpansOf(partition);
	PushActiveSnapshot(GetLatestSnapshot());
	forget_partition(partition, times.spans);
	days = RowDays(partition);
	PopActiveSnapshot();
	days = days == NULL ? times.spans : SpanListIntersection(days, times.spans);
	for (int i = 0; i < days->n; i++)
		DirtyMark(days->spans[i].low, days->spans[i].high, 0);
}

/*
 * Keep everybody from a partition, as the command that makes it go is going to. Locks
 * come in the order in which a refresh takes them.
 */
static void
lock_partition(Oid partition)
{
	RefreshLock();
	LockRelationOid(ExtensionTable("events"), AccessExclusiveLock);
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
	PartitionSpans times;
	RefreshResult result;
	bool dirty;

	/* a foreign table must be able to go while its server is away */
	if (XactReadOnly || !is_our_partition(partition) ||
		get_rel_relkind(partition) == RELKIND_FOREIGN_TABLE ||
		!(OwnsRelation(partition) || OwnsRelation(ExtensionTable("events"))))
		return;
	if (!concurrently)
		lock_partition(partition);
	if (!is_our_partition(partition))
		return; /* while we waited */
	times = PartitionSpansOf(partition);
	PushActiveSnapshot(GetLatestSnapshot());
	dirty = DirtyTouches(GetActiveSnapshot(), times.spans);
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

static void
process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	ProcessUtility_hook_type next =
		prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	Node *command = statement->utilityStmt;
	AlterTableCmd *action = NULL;
	Oid partition = InvalidOid;
	bool detached;
	PartitionSpans times = {0};

	if (IsA(command, AlterTableStmt))
		partition = moved_partition(castNode(AlterTableStmt, command), &action);
	else if (IsA(command, DropStmt))
		before_drop(castNode(DropStmt, command));
	detached =
		action != NULL && action->subtype != AT_AttachPartition && is_our_partition(partition);
	if (detached && action->subtype == AT_DetachPartition)
	{
		count_changes(partition, castNode(PartitionCmd, action->def)->concurrent);
		detached = is_our_partition(partition);
	}
	if (detached)
		times = PartitionSpansOf(partition);
	next(statement, query_string, read_only_tree, context, params, environment, receiver,
		 completion);
	if (IsA(command, CreateForeignTableStmt))
		partition = foreign_partition(castNode(CreateForeignTableStmt, command));
	if (detached)
		note_partition(partition, &times);
	else if (OidIsValid(partition) && is_our_partition(partition))
		mark_attached(partition);
	else
		return;
	CommandCounterIncrement();
}

void
DroppedHooksInit(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

SpanList *
DroppedSpans(Snapshot snapshot)
{
	TableRows rows;
	SpanList *spans = palloc0(sizeof(SpanList));

	TableRowsBegin(&rows, "dropped", AccessShareLock, snapshot);
	while (TableRowsNext(&rows))
	{
		Span span = SpanFromColumns(rows.slot, DROPPED_COLUMN_LOW);

		SpanListAppend(spans, span.low, span.high);
	}
	TableRowsEnd(&rows);
	SpanListJoin(spans);
	return spans;
}
