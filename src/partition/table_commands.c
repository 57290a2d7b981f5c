/*
 * table_commands.c
 *
 * fast_ingest.events is an ordinary table: what users do to it works, or is refused
 * here, with a reason, before every event fails because of it.
 *
 * A partition that somebody makes or attaches gets what the server's own have (see
 * equip_partition.h). Not by ALTER TABLE ONLY, which is how pg_dump attaches them:
 * its dump makes indexes and triggers itself, and the triggers only after the rows,
 * which the rollup that it restores has counted.
 */
#include "postgres.h"

#include "partition/table_commands.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"

#include "db/own_tables.h"
#include "db/utility_hook.h"
#include "partition/equip_partition.h"

static bool
is_events(const RangeVar *name)
{
	Oid events = OwnTableIfThere("events");

	return name != NULL && OidIsValid(events) &&
		   OidIsValid(get_extension_oid("fast_ingest", true)) &&
		   RangeVarGetRelid(name, NoLock, true) == events;
}

static void
refuse(const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot %s", what),
					errdetail("The workers find the table by its name, and insert into it with "
							  "ON CONFLICT."),
					errhint("%s", hint)));
}

/*
 * Refuse what would make every event fail, and has another way. Columns, owners and
 * privileges the administrator may change: the workers wait until they fit again.
 */
static void
check_command(Node *command)
{
	const char *hint = "Create a view with the name that you want.";

	if (IsA(command, RenameStmt))
	{
		const RenameStmt *rename = castNode(RenameStmt, command);

		if (rename->renameType == OBJECT_SCHEMA && strcmp(rename->subname, "fast_ingest") == 0 &&
			OidIsValid(get_extension_oid("fast_ingest", true)))
			refuse("rename schema \"fast_ingest\"", hint);
		/* ALTER VIEW and ALTER INDEX rename tables as well */
		if ((rename->renameType == OBJECT_TABLE || rename->renameType == OBJECT_VIEW ||
			 rename->renameType == OBJECT_INDEX) &&
			is_events(rename->relation))
			refuse("rename table \"fast_ingest.events\"", hint);
	}
	else if (IsA(command, AlterObjectSchemaStmt))
	{
		if (is_events(castNode(AlterObjectSchemaStmt, command)->relation))
			refuse("move table \"fast_ingest.events\" to another schema", hint);
	}
	else if (IsA(command, RuleStmt))
	{
		const RuleStmt *rule = castNode(RuleStmt, command);

		if ((rule->event == CMD_INSERT || rule->event == CMD_UPDATE) && is_events(rule->relation))
			refuse("create a rule for INSERT or UPDATE on table \"fast_ingest.events\"",
				   "Create a trigger.");
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
		const AlterTableCmd *action;

		/* it stands alone */
		if (list_length(alter->cmds) != 1)
			return NULL;
		action = linitial_node(AlterTableCmd, alter->cmds);
		if (action->subtype == AT_AttachPartition && alter->relation->inh)
			return castNode(PartitionCmd, action->def)->name;
	}
	return NULL;
}

static void *
check_table_command(Node *command)
{
	/* scripts of the extension know what they do */
	if (!creating_extension)
		check_command(command);
	return unconstify(RangeVar *, new_partition(command));
}

static void
equip_new_partition(Node *command, void *state)
{
	const RangeVar *name = state;
	Oid partition;

	CommandCounterIncrement();
	partition = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(partition) || !get_rel_relispartition(partition) ||
		!OidIsValid(get_extension_oid("fast_ingest", true)) ||
		!list_member_oid(get_partition_ancestors(partition), OwnTableIfThere("events")))
		return;
	SPI_connect();
	PartitionEquip(partition);
	SPI_finish();
}

void
TableCommandsHookInit(void)
{
	static const UtilityHook hook = {.before = check_table_command, .after = equip_new_partition};

	UtilityHookRegister(&hook);
}
