/*
 * equip_partition.c
 *
 * Gives a partition what it needs, whoever made it: the unique index on event_key, by
 * which a repeated event is stored once; the triggers that count what statements change
 * that name the partition; and the replica identity of fast_ingest.events.
 * create_partition.c says why the parent has no index that would do the first.
 */
#include "postgres.h"

#include "partition/equip_partition.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/tablespace.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/compat.h"
#include "db/own_tables.h"
#include "db/spi.h"

const char *
QualifiedName(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

const char *
TablespaceClause(Oid relation)
{
	Oid tablespace = get_rel_tablespace(relation);

	return OidIsValid(tablespace)
			   ? psprintf(" TABLESPACE %s", quote_identifier(get_tablespace_name(tablespace)))
			   : "";
}

/*
 * Does an index keep an event from being stored twice?
 */
static bool
is_key_index(Relation index, AttrNumber key)
{
	Form_pg_index form = index->rd_index;
	List *predicate = RelationGetIndexPredicate(index);

	if (!form->indisunique || !form->indisvalid || !form->indimmediate || form->indnkeyatts != 1 ||
		form->indkey.values[0] != key)
		return false;
	if (list_length(predicate) == 1 && IsA(linitial(predicate), NullTest))
	{
		NullTest *test = linitial(predicate);

		return test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) &&
			   ((Var *) test->arg)->varattno == key;
	}
	return predicate == NIL;
}

static bool
has_key_index(Oid partition)
{
	Relation table = table_open(partition, AccessShareLock);
	List *indexes = RelationGetIndexList(table);
	AttrNumber key = get_attnum(partition, "event_key");
	bool found = false;
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		found = found || is_key_index(index, key);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	table_close(table, AccessShareLock);
	return found;
}

/*
 * Create the triggers of fast_ingest.events that the partition lacks: those of the parent
 * do not fire for a statement that names the partition
 */
static void
create_triggers(Oid partition)
{
	static const char *const triggers[][4] = {
		{"fi_inserted", "INSERT", "REFERENCING NEW TABLE AS new_rows", "inserted"},
		{"fi_updated", "UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
		 "changed"},
		{"fi_deleted", "DELETE", "REFERENCING OLD TABLE AS old_rows", "changed"},
		{"fi_truncated", "TRUNCATE", "", "truncated"},
	};

	for (int i = 0; i < (int) lengthof(triggers); i++)
		if (!OidIsValid(get_trigger_oid(partition, triggers[i][0], true)))
			SpiRunFormat(SPI_OK_UTILITY,
						 "CREATE TRIGGER %s AFTER %s ON %s %s"
						 " FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.events_%s()",
						 triggers[i][0], triggers[i][1], QualifiedName(partition), triggers[i][2],
						 triggers[i][3]);
}

/*
 * Give a partition the replica identity of the table, unless it has one of its own
 */
static void
copy_replica_identity(Oid partition)
{
	Relation events = table_open(OwnTable("events"), AccessShareLock);
	Relation table = table_open(partition, AccessShareLock);
	char kind = events->rd_rel->relreplident;
	Oid index = InvalidOid;

	if (table->rd_rel->relreplident != REPLICA_IDENTITY_DEFAULT)
		kind = REPLICA_IDENTITY_DEFAULT;
	if (kind == REPLICA_IDENTITY_INDEX && OidIsValid(RelationGetReplicaIndex(events)))
		index = index_get_partition(table, RelationGetReplicaIndex(events));
	table_close(table, AccessShareLock);
	table_close(events, AccessShareLock);

	if (kind == REPLICA_IDENTITY_FULL || kind == REPLICA_IDENTITY_NOTHING)
		SpiRunFormat(SPI_OK_UTILITY, "ALTER TABLE %s REPLICA IDENTITY %s", QualifiedName(partition),
					 kind == REPLICA_IDENTITY_FULL ? "FULL" : "NOTHING");
	else if (OidIsValid(index))
		SpiRunFormat(SPI_OK_UTILITY, "ALTER TABLE %s REPLICA IDENTITY USING INDEX %s",
					 QualifiedName(partition), quote_identifier(get_rel_name(index)));
}

static void
add_error_context(void *arg)
{
	errcontext("making \"%s\" a partition of fast_ingest.events: its unique index on event_key "
			   "stores a repeated event once, its triggers count what names it",
			   (const char *) arg);
}

void
PartitionEquip(Oid partition)
{
	List *members = find_all_inheritors(partition, AccessShareLock, NULL);
	ErrorContextCallback context = {.callback = add_error_context, .previous = error_context_stack};
	ListCell *cell;

	error_context_stack = &context;
	foreach (cell, members)
	{
		Oid member = lfirst_oid(cell);
		char kind = get_rel_relkind(member);

		/* a foreign table can have neither indexes nor triggers with transition tables */
		if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
			!OwnsRelation(member))
			continue;
		context.arg = get_rel_name(member);
		if (kind == RELKIND_RELATION && !has_key_index(member))
			SpiRunFormat(SPI_OK_UTILITY,
						 "CREATE UNIQUE INDEX ON %s (event_key)%s WHERE event_key IS NOT NULL",
						 QualifiedName(member), TablespaceClause(member));
		create_triggers(member);
		copy_replica_identity(member);
	}
	error_context_stack = context.previous;
}
