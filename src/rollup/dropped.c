/*
 * dropped.c
 *
 * Sees partitions go, whoever drops or detaches them, and remembers their times
 * if the rollup has counted events there.
 */
#include "postgres.h"

#include "rollup/dropped.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "flush/partition.h"
#include "rollup/source.h"

static object_access_hook_type prev_object_access_hook = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;

/*
 * A table of ours, or InvalidOid where it is gone, as in the midst of DROP EXTENSION
 */
static Oid
our_table(const char *name)
{
	Oid schema = get_namespace_oid("fast_ingest", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/*
 * Remember a span, if there is something to remember. Who may drop a partition
 * needs no rights on the rollup.
 */
static void
note_span(TimestampTz low, TimestampTz high)
{
	Oid dropped = our_table("dropped");
	Oid rollup = our_table("rollup");
	Relation table;
	Datum values[] = {TimestampTzGetDatum(low), TimestampTzGetDatum(high)};
	bool isnull[] = {false, false};
	Oid user;
	int context;
	bool known;

	if (!OidIsValid(dropped) || !OidIsValid(rollup) || !OidIsValid(our_table("rollup_delta")))
		return;
	table = table_open(rollup, AccessShareLock);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(table->rd_rel->relowner, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	known = RollupKnows((Span){low, high});
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	table_close(table, NoLock);
	if (!known)
		return;

	table = table_open(dropped, RowExclusiveLock);
	simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
	table_close(table, NoLock);
}

static bool
is_our_partition(Oid relation)
{
	Oid events = our_table("events");

	return OidIsValid(events) && get_rel_relispartition(relation) &&
		   get_partition_parent(relation, true) == events;
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
		note_span(low, high);
	}
}

/*
 * The partition that a command detaches from our table, or InvalidOid
 */
static Oid
detached_partition(Node *command)
{
	AlterTableStmt *alter = (AlterTableStmt *) command;
	AlterTableCmd *action;
	Oid partition;

	if (!IsA(command, AlterTableStmt) || list_length(alter->cmds) != 1)
		return InvalidOid;
	action = linitial_node(AlterTableCmd, alter->cmds);
	if (action->subtype != AT_DetachPartition && action->subtype != AT_DetachPartitionFinalize)
		return InvalidOid;
	partition = RangeVarGetRelid(castNode(PartitionCmd, action->def)->name, AccessShareLock, true);
	return OidIsValid(partition) && is_our_partition(partition) ? partition : InvalidOid;
}

static void
process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	ProcessUtility_hook_type next =
		prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	Oid partition = InvalidOid;
	TimestampTz low = 0;
	TimestampTz high = 0;

	if (IsA(statement->utilityStmt, AlterTableStmt))
		partition = detached_partition(statement->utilityStmt);
	if (OidIsValid(partition))
		PartitionBounds(partition, &low, &high);
	next(statement, query_string, read_only_tree, context, params, environment, receiver,
		 completion);
	if (OidIsValid(partition))
	{
		note_span(low, high);
		CommandCounterIncrement();
	}
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
	Relation table = table_open(ExtensionTable("dropped"), AccessShareLock);
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	SpanList found = {0};
	SpanList *spans;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		TimestampTz low = DatumGetTimestampTz(slot_getattr(slot, 1, &isnull));

		SpanListAppend(&found, low, DatumGetTimestampTz(slot_getattr(slot, 2, &isnull)));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(table, NoLock);
	spans = palloc0(sizeof(SpanList));
	SpanListSort(&found);
	for (int i = 0; i < found.n; i++)
		SpanListAdd(spans, found.spans[i].low, found.spans[i].high);
	return spans;
}
