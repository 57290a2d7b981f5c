/*
 * restore_columns.c
 *
 * pg_dump writes down the partitions of fast_ingest.events, which are the user's,
 * with all their columns, but not the table itself, which is the extension's:
 * CREATE EXTENSION makes it anew, without the columns that the user has added, and
 * no partition that has them could be attached. All partitions have the columns of
 * their table. So the first that a dump attaches brings them along.
 *
 * pg_dump attaches with ALTER TABLE ONLY, where ONLY means nothing. Without it the
 * command is a user's, and a column too many a mistake for PostgreSQL to report.
 */
#include "postgres.h"

#include "flush/restore_columns.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "compat.h"
#include "spi.h"

/* A command that adds what table $1 has and events has not; NULL where that is nothing. */
#define WRITE_COMMAND \
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

static ProcessUtility_hook_type prev_process_utility = NULL;

/*
 * Add the columns that a table has and fast_ingest.events has not
 */
static void
add_columns(Oid table)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(table)};
	SavedUser user = ExtensionBecomeEventsOwner();
	char *command;

	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	(void) SpiSelect(WRITE_COMMAND, 0, 1, types, values);
	PopActiveSnapshot();
	command = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (command != NULL)
	{
		ereport(NOTICE, (errmsg("adding columns to fast_ingest.events that partition \"%s\" has",
								get_rel_name(table)),
						 errdetail_internal("%s", command)));
		(void) SpiRun(command, SPI_OK_UTILITY);
	}
	SPI_finish();
	ExtensionBecomeUser(user);
}

/*
 * Before a command of pg_dump's attaches a partition to our table
 */
static void
before_attach(const AlterTableStmt *alter)
{
	const AlterTableCmd *action = linitial_node(AlterTableCmd, alter->cmds);
	Oid events;
	Oid partition;

	if (action->subtype != AT_AttachPartition || alter->relation->inh)
		return;
	events = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!OidIsValid(events) || events != ExtensionTableIfThere("events") ||
		!OidIsValid(get_extension_oid("fast_ingest", true)) || !OwnsRelation(events))
		return;
	partition = RangeVarGetRelid(castNode(PartitionCmd, action->def)->name, AccessShareLock, true);
	if (OidIsValid(partition))
		add_columns(partition);
}

static void
process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	ProcessUtility_hook_type next =
		prev_process_utility ? prev_process_utility : standard_ProcessUtility;

	if (IsA(statement->utilityStmt, AlterTableStmt))
		before_attach(castNode(AlterTableStmt, statement->utilityStmt));
	next(statement, query_string, read_only_tree, context, params, environment, receiver,
		 completion);
}

void
RestoreColumnsHookInit(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
