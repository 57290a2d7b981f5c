/*
 * table_commands.c
 *
 * fast_ingest.events is an ordinary table. A command of a user on it works, or it is
 * refused here with a reason, before it makes every event fail.
 *
 * A partition that a user creates or attaches gets what the server's own partitions have
 * (see equip_partition.h). One that is attached by ALTER TABLE ONLY, as pg_dump does it,
 * does not: the dump makes its indexes and triggers. It makes the triggers after the rows,
 * which the rollup that it restores has counted already.
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
	return name != NULL && IsEventsTable(RangeVarGetRelid(name, NoLock, true));
}

static void
refuse_command(const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot %s", what),
					errdetail("The workers find the table by its name, and insert into it with "
							  "ON CONFLICT."),
					errhint("%s", hint)));
}

/*
 * Refuse a command that would make every event fail, and whose purpose has another way.
 * Columns, owners and privileges may be changed: events wait until these fit again.
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
			refuse_command("rename schema \"fast_ingest\"", hint);
		/* ALTER VIEW and ALTER INDEX rename tables as well */
		if ((rename->renameType == OBJECT_TABLE || rename->renameType == OBJECT_VIEW ||
			 rename->renameType == OBJECT_INDEX) &&
			is_events(rename->relation))
			refuse_command("rename table \"fast_ingest.events\"", hint);
	}
	else if (IsA(command, AlterObjectSchemaStmt))
	{
		if (is_events(castNode(AlterObjectSchemaStmt, command)->relation))
			refuse_command("move table \"fast_ingest.events\" to another schema", hint);
	}
	else if (IsA(command, RuleStmt))
	{
		const RuleStmt *rule = castNode(RuleStmt, command);

		if ((rule->event == CMD_INSERT || rule->event == CMD_UPDATE) && is_events(rule->relation))
			refuse_command("create a rule for INSERT or UPDATE on table \"fast_ingest.events\"",
						   "Create a trigger.");
	}
}

/*
 * The table that a command makes a partition of another, or NULL
 */
static const RangeVar *
find_new_partition(Node *command)
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

		/* ATTACH PARTITION is the only action of its command */
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
	/* the extension's own scripts may do all of this */
	if (!creating_extension)
		check_command(command);
	return unconstify(RangeVar *, find_new_partition(command));
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
TableCommandsInit(void)
{
	static const UtilityHook hook = {.before = check_table_command, .after = equip_new_partition};

	UtilityHookRegister(&hook);
}
