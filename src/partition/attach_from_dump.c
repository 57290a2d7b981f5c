/*
 * attach_from_dump.c
 *
 * When a restore attaches the first partition, fast_ingest.events gets the columns and
 * indexes that the partition has and the table lacks.
 *
 * pg_dump writes the partitions, which belong to the user, with all their columns and
 * indexes, but not the table, which belongs to the extension. CREATE EXTENSION makes the
 * table without the columns and indexes that the user had added. PostgreSQL would refuse
 * to attach a partition that has more than its table. But every partition of the dump has
 * all that the table had.
 *
 * pg_dump attaches partitions with ALTER TABLE ONLY, where ONLY has no effect. A command
 * without ONLY comes from a user, and a column too many is a mistake that PostgreSQL
 * reports.
 */
#include "postgres.h"

#include "partition/attach_from_dump.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "db/utility_hook.h"

/* Write a command that adds the columns that table $1 has and events lacks; NULL if none. */
#define WRITE_COLUMNS \
	"SELECT 'ALTER TABLE fast_ingest.events '" \
	" || string_agg(format('ADD COLUMN %I %s%s%s%s', a.attname," \
	"   format_type(a.atttypid, a.atttypmod)," \
	"   (SELECT format(' COLLATE %I.%I', n.nspname, c.collname)" \
	"    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace" \
	"    WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation)," \
	"   CASE a.attgenerated WHEN '' THEN ' DEFAULT ' || e.expression" \
	"    WHEN 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', e.expression)" \
	"    ELSE format(' GENERATED ALWAYS AS (%s) VIRTUAL', e.expression) END," \
	"   CASE WHEN a.attnotnull THEN ' NOT NULL' END), ', ' ORDER BY a.attnum)" \
	" FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid" \
	"  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum," \
	"  LATERAL (SELECT pg_get_expr(d.adbin, d.adrelid)) AS e (expression)" \
	" WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS" \
	"  (SELECT FROM pg_attribute o WHERE o.attrelid = 'fast_ingest.events'::regclass" \
	"   AND o.attname = a.attname AND NOT o.attisdropped)"

/* Write a command that makes an index of events like index $1, named $2. */
#define WRITE_INDEX \
	"SELECT CASE WHEN c.oid IS NULL THEN format('CREATE %sINDEX %I ON ONLY fast_ingest.events%s'," \
	"  CASE WHEN i.indisunique THEN 'UNIQUE ' END, $2," \
	"  substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*'))" \
	" ELSE format('ALTER TABLE ONLY fast_ingest.events ADD CONSTRAINT %I %s', $2," \
	"  pg_get_constraintdef(c.oid)) END" \
	" FROM pg_index i LEFT JOIN pg_constraint c" \
	"  ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')" \
	" WHERE i.indexrelid = $1"

/*
 * Run the command that a query writes, unless that is NULL, as the owner of events
 */
static void
run_written_command(const char *query, int n, Oid *types, Datum *values)
{
	SavedUser user = ActAsEventsOwner();
	char *command;

	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	(void) SpiSelect(query, 0, n, types, values);
	PopActiveSnapshot();
	command = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (command != NULL)
	{
		ereport(NOTICE, (errmsg("fast_ingest.events gets what a partition has: %s", command)));
		(void) SpiRun(command, SPI_OK_UTILITY);
	}
	SPI_finish();
	ActAsCallerAgain(user);
}

/*
 * Add the columns of a table that a dump attaches to events
 */
static void
add_columns(const RangeVar *parent, const RangeVar *partition)
{
	Oid types[] = {OIDOID};
	Datum values[1];
	Oid events;
	Oid table;

	if (parent->inh)
		return;
	events = RangeVarGetRelid(parent, NoLock, true);
	if (!IsEventsTable(events) || !OwnsRelation(events))
		return;
	table = RangeVarGetRelid(partition, AccessShareLock, true);
	if (!OidIsValid(table) || !OwnsRelation(table))
		return;
	values[0] = ObjectIdGetDatum(table);
	run_written_command(WRITE_COLUMNS, 1, types, values);
}

/*
 * Make the index of events to which a dump attaches the index of a partition. Only a dump
 * names an index of the table that does not exist. Of the sessions of a parallel restore
 * one makes the index, and the others wait for it.
 */
static void
add_index(const RangeVar *parent, const RangeVar *index)
{
	Oid types[] = {OIDOID, NAMEOID};
	NameData name;
	Datum values[2];
	Oid events = OwnTableIfThere("events");
	Oid partition_index;
	Oid partition;

	if (OidIsValid(RangeVarGetRelid(parent, NoLock, true)) || !IsEventsTable(events) ||
		!OwnsRelation(events) || parent->schemaname == NULL ||
		get_namespace_oid(parent->schemaname, true) != get_rel_namespace(events))
		return;
	partition_index = RangeVarGetRelid(index, NoLock, true);
	partition = OidIsValid(partition_index) ? IndexGetRelation(partition_index, true) : InvalidOid;
	if (!get_rel_relispartition(partition) || get_partition_parent(partition, true) != events)
		return;
	LockRelationOid(events, ShareRowExclusiveLock);
	/* another session has made it */
	if (OidIsValid(RangeVarGetRelid(parent, NoLock, true)))
		return;
	values[0] = ObjectIdGetDatum(partition_index);
	namestrcpy(&name, parent->relname);
	values[1] = NameGetDatum(&name);
	run_written_command(WRITE_INDEX, 2, types, values);
}

static void *
before_attach(Node *command)
{
	const AlterTableStmt *alter;
	const AlterTableCmd *action;
	const RangeVar *partition;

	if (!IsA(command, AlterTableStmt))
		return NULL;
	alter = castNode(AlterTableStmt, command);
	action = linitial_node(AlterTableCmd, alter->cmds);
	if (action->subtype != AT_AttachPartition)
		return NULL;
	partition = castNode(PartitionCmd, action->def)->name;
	if (alter->objtype == OBJECT_INDEX)
		add_index(alter->relation, partition);
	else
		add_columns(alter->relation, partition);
	return NULL;
}

void
AttachFromDumpInit(void)
{
	static const UtilityHook hook = {.before = before_attach};

	UtilityHookRegister(&hook);
}
