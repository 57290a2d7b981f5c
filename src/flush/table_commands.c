/*
 * table_commands.c
 *
 * fast_ingest.events is an ordinary table: what users do to it works, or is refused
 * here, with a reason, before every event fails because of it.
 *
 * A partition that somebody makes or attaches gets what the server's own have (see
 * partition_equip.h). Not by ALTER TABLE ONLY, which is how pg_dump attaches them:
 * its dump makes indexes and triggers itself, and the triggers only after the rows,
 * which the rollup that it restores has counted.
 */
#include "postgres.h"

#include "flush/table_commands.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "catalog.h"
#include "compat.h"
#include "event/tuple.h"
#include "flush/partition_equip.h"

static ProcessUtility_hook_type prev_process_utility = NULL;

/*
 * The table of the extension that a command is about, or InvalidOid
 */
static Oid
own_table(const RangeVar *name)
{
	Oid extension = get_extension_oid("fast_ingest", true);
	Oid table;

	if (name == NULL || !OidIsValid(extension))
		return InvalidOid;
	table = RangeVarGetRelid(name, NoLock, true);
	return OidIsValid(table) && getExtensionOfObject(RelationRelationId, table) == extension
			   ? table
			   : InvalidOid;
}

static bool
is_events(const RangeVar *name)
{
	Oid table = own_table(name);

	return OidIsValid(table) && table == ExtensionTableIfThere("events");
}

/*
 * Is it a column that the server writes? Its own the user may change as he likes.
 */
static bool
is_event_column(const char *column)
{
	TupleDesc desc = EventTupleDesc();
	bool found = false;

	for (int i = 0; i < desc->natts; i++)
		found = found || strcmp(NameStr(TupleDescAttr(desc, i)->attname), column) == 0;
	FreeTupleDesc(desc);
	return found;
}

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s", message),
			 errdetail("fast_ingest stores and counts events by the names and types that CREATE "
					   "EXTENSION gave."),
			 errhint("%s", hint)));
}

static void
check_rename(const RenameStmt *rename)
{
	const char *hint = "Create a view that has the name you want.";

	if (rename->renameType == OBJECT_SCHEMA && strcmp(rename->subname, "fast_ingest") == 0 &&
		OidIsValid(get_extension_oid("fast_ingest", true)))
		refuse("cannot rename schema \"fast_ingest\"", hint);
	else if (rename->renameType == OBJECT_COLUMN && is_events(rename->relation) &&
			 is_event_column(rename->subname))
		refuse(psprintf("cannot rename column \"%s\" of fast_ingest.events", rename->subname), hint);
	/* ALTER VIEW and ALTER INDEX rename tables as well */
	else if ((rename->renameType == OBJECT_TABLE || rename->renameType == OBJECT_VIEW ||
			  rename->renameType == OBJECT_INDEX) &&
			 OidIsValid(own_table(rename->relation)) &&
			 get_rel_relkind(own_table(rename->relation)) != RELKIND_INDEX)
		refuse(psprintf("cannot rename table \"fast_ingest.%s\"", rename->relation->relname), hint);
}

/*
 * Partitions are made and events are counted with the rights of the table's owner
 */
static void
check_owner(const RoleSpec *owner)
{
	Oid role = get_rolespec_oid(owner, true);
	Oid schema = get_namespace_oid("fast_ingest", false);

	if (!OidIsValid(role) || (HasSchemaPrivilege(schema, role, ACL_CREATE) &&
							  HasSchemaPrivilege(schema, role, ACL_USAGE)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("role \"%s\" cannot own fast_ingest.events: permission denied for "
						   "schema fast_ingest",
						   GetUserNameFromId(role, false)),
					errdetail("Partitions are made and events are counted with the rights of the "
							  "table's owner."),
					errhint("Run fi_grant_ingest('%s'), which gives the table to the role, too.",
							GetUserNameFromId(role, false))));
}

static void
check_alter(const AlterTableStmt *alter)
{
	ListCell *cell;

	foreach (cell, alter->cmds)
	{
		const AlterTableCmd *action = lfirst_node(AlterTableCmd, cell);

		if (action->subtype == AT_DropColumn && is_event_column(action->name) &&
			is_events(alter->relation))
			refuse(psprintf("cannot drop column \"%s\" of fast_ingest.events", action->name),
				   "Leave the column out of what you send: NULL takes no room.");
		if (action->subtype == AT_ChangeOwner && is_events(alter->relation))
			check_owner(action->newowner);
		/* those that the rollup is made of */
		if (action->subtype == AT_AlterColumnType &&
			(strcmp(action->name, "event_name") == 0 || strcmp(action->name, "user_id") == 0 ||
			 strcmp(action->name, "ts") == 0) &&
			is_events(alter->relation))
			refuse(psprintf("cannot change the type of column \"%s\" of fast_ingest.events", action->name),
				   "Add a generated column of the type you want, or a CHECK constraint.");
	}
}

static void
check_command(Node *command)
{
	if (IsA(command, RenameStmt))
		check_rename(castNode(RenameStmt, command));
	else if (IsA(command, AlterTableStmt))
		check_alter(castNode(AlterTableStmt, command));
	else if (IsA(command, AlterObjectSchemaStmt))
	{
		const AlterObjectSchemaStmt *move = castNode(AlterObjectSchemaStmt, command);

		if (OidIsValid(own_table(move->relation)))
			refuse(psprintf("cannot move table \"fast_ingest.%s\" to another schema", move->relation->relname),
				   "Create a view in the schema you want.");
	}
	else if (IsA(command, RuleStmt))
	{
		const RuleStmt *rule = castNode(RuleStmt, command);

		/* INSERT ... ON CONFLICT is refused for a table that has them */
		if ((rule->event == CMD_INSERT || rule->event == CMD_UPDATE) && is_events(rule->relation))
			refuse("cannot create a rule for INSERT or UPDATE on fast_ingest.events",
				   "Use a trigger.");
	}
}

/*
 * The table that a command makes a partition of another, or NULL
 */
static const RangeVar *
new_partition(Node *command)
{
	if (IsA(command, CreateStmt))
	{
		const CreateStmt *create = castNode(CreateStmt, command);

		return create->partbound != NULL ? create->relation : NULL;
	}
	if (IsA(command, AlterTableStmt))
	{
		const AlterTableStmt *alter = castNode(AlterTableStmt, command);
		const AlterTableCmd *action = linitial_node(AlterTableCmd, alter->cmds);

		if (action->subtype == AT_AttachPartition && alter->relation->inh)
			return castNode(PartitionCmd, action->def)->name;
	}
	return NULL;
}

static void
equip(const RangeVar *name)
{
	Oid partition;

	CommandCounterIncrement();
	partition = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(partition) || !get_rel_relispartition(partition) ||
		!OidIsValid(get_extension_oid("fast_ingest", true)) ||
		!list_member_oid(get_partition_ancestors(partition), ExtensionTableIfThere("events")))
		return;
	SPI_connect();
	PartitionEquip(partition);
	SPI_finish();
}

static void
process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	ProcessUtility_hook_type next =
		prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	const RangeVar *partition = new_partition(statement->utilityStmt);

	/* scripts of the extension know what they do */
	if (!creating_extension)
		check_command(statement->utilityStmt);
	next(statement, query_string, read_only_tree, context, params, environment, receiver,
		 completion);
	if (partition != NULL)
		equip(partition);
}

void
TableCommandsHookInit(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
