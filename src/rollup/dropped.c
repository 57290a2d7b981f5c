/*
 * dropped.c
 *
 * Sees partitions go, whoever drops or detaches them, and remembers their times
 * if the rollup has counted events there. One that is attached again, as it was,
 * is no longer missing.
 */
#include "postgres.h"

#include "rollup/dropped.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "partition_bounds.h"
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
 * Remember a span, if there is something to remember. Who may drop a partition
 * needs no rights on the rollup.
 */
static void
note_span(TimestampTz low, TimestampTz high, Oid partition)
{
	Oid dropped = ExtensionTableIfThere("dropped");
	Relation table;
	Datum values[] = {TimestampTzGetDatum(low), TimestampTzGetDatum(high),
					  ObjectIdGetDatum(partition)};
	bool isnull[] = {false, false, false};
	SavedUser user;
	bool known;

	/* in the midst of DROP EXTENSION they are not all there any more */
	if (!OidIsValid(dropped) || !OidIsValid(ExtensionTableIfThere("rollup")) ||
		!OidIsValid(ExtensionTableIfThere("rollup_delta")))
		return;
	user = ExtensionBecomeOwner();
	SPI_connect();
	known = RollupKnows((Span){low, high});
	SPI_finish();
	ExtensionBecomeUser(user);
	if (!known)
		return;

	table = table_open(dropped, RowExclusiveLock);
	simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
	table_close(table, NoLock);
}

/*
 * Remember what a partition took; a default partition, what the others did not
 */
static void
note_partition(Oid partition, TimestampTz low, TimestampTz high)
{
	TimestampTz *lowers;
	TimestampTz *uppers;
	int n;

	if (low != TIME_BEGIN || high != TIME_END)
	{
		note_span(low, high, partition);
		return;
	}
	n = PartitionRanges(false, &lowers, &uppers);
	for (int i = 0; i < n; i++)
	{
		if (low < lowers[i])
			note_span(low, lowers[i], partition);
		low = uppers[i];
	}
	if (low < high)
		note_span(low, high, partition);
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
	return get_rel_relispartition(relation) && is_events(get_partition_parent(relation, true));
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class, object, sub_id, arg);

	if (access == OAT_DROP && class == RelationRelationId && sub_id == 0 &&
		is_our_partition(object))
	{
		TimestampTz low;
		TimestampTz high;

		PartitionBounds(object, &low, &high);
		note_partition(object, low, high);
	}
}

/*
 * Forget what was noted of a partition that is attached again, with its rows
 */
static void
forget_span(TimestampTz low, TimestampTz high, Oid partition)
{
	TableRows rows;

	if (!OidIsValid(ExtensionTableIfThere("dropped")))
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	TableRowsBegin(&rows, "dropped", RowExclusiveLock, GetActiveSnapshot());
	while (TableRowsNext(&rows))
	{
		bool isnull;

		if (DatumGetTimestampTz(slot_getattr(rows.slot, DROPPED_COLUMN_LOW, &isnull)) >= low &&
			DatumGetTimestampTz(slot_getattr(rows.slot, DROPPED_COLUMN_HIGH, &isnull)) <= high &&
			DatumGetObjectId(slot_getattr(rows.slot, DROPPED_COLUMN_PARTITION, &isnull)) ==
				partition)
			TableRowsDelete(&rows);
	}
	TableRowsEnd(&rows);
	PopActiveSnapshot();
}

/*
 * The partition that a command attaches to our table or detaches from it, or
 * InvalidOid
 */
static Oid
moved_partition(Node *command, bool *attached)
{
	AlterTableStmt *alter = (AlterTableStmt *) command;
	AlterTableCmd *action;
	Oid table;

	if (list_length(alter->cmds) != 1)
		return InvalidOid;
	action = linitial_node(AlterTableCmd, alter->cmds);
	*attached = action->subtype == AT_AttachPartition;
	if (!*attached && action->subtype != AT_DetachPartition &&
		action->subtype != AT_DetachPartitionFinalize)
		return InvalidOid;
	table = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!is_events(table))
		return InvalidOid;
	return RangeVarGetRelid(castNode(PartitionCmd, action->def)->name, NoLock, true);
}

static void
process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	ProcessUtility_hook_type next =
		prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	Oid partition = InvalidOid;
	bool attached = false;
	TimestampTz low = 0;
	TimestampTz high = 0;

	if (IsA(statement->utilityStmt, AlterTableStmt))
		partition = moved_partition(statement->utilityStmt, &attached);
	if (OidIsValid(partition) && !attached)
		PartitionBounds(partition, &low, &high);
	next(statement, query_string, read_only_tree, context, params, environment, receiver,
		 completion);
	if (!OidIsValid(partition))
		return;
	if (attached)
	{
		CommandCounterIncrement();
		PartitionBounds(partition, &low, &high);
		forget_span(low, high, partition);
	}
	else
		note_partition(partition, low, high);
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
	SpanList found = {0};
	SpanList *spans;

	TableRowsBegin(&rows, "dropped", AccessShareLock, snapshot);
	while (TableRowsNext(&rows))
	{
		bool isnull;
		TimestampTz low = DatumGetTimestampTz(slot_getattr(rows.slot, DROPPED_COLUMN_LOW, &isnull));

		SpanListAppend(&found, low,
					   DatumGetTimestampTz(slot_getattr(rows.slot, DROPPED_COLUMN_HIGH, &isnull)));
	}
	TableRowsEnd(&rows);
	spans = palloc0(sizeof(SpanList));
	SpanListSort(&found);
	for (int i = 0; i < found.n; i++)
		SpanListAdd(spans, found.spans[i].low, found.spans[i].high);
	return spans;
}
