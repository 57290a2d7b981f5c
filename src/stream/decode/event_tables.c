/*
 * event_tables.c
 *
 * A cache of tables by their oid. Invalidation messages empty it: those that the server sends,
 * and those of the transactions that are decoded, which come when a later one must see the
 * change. A table that was seen as an ancestor is noted too, because what is attached or
 * detached above a table changes what the table is.
 */
#include "postgres.h"

#include "stream/decode/event_tables.h"

#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "base/compat.h"

typedef enum
{
	TABLE_OF_EVENTS,
	TABLE_OF_OTHERS,
	TABLE_ABOVE
} TableKind;

typedef struct
{
	Oid table; /* the key */
	TableKind kind;
	EventRowMap map;
} TableEntry;

static HTAB *tables = NULL;

static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	TableEntry *entry;

	hash_seq_init(&scan, tables);
	while ((entry = hash_seq_search(&scan)) != NULL)
		hash_search(tables, &entry->table, HASH_REMOVE, NULL);
}

static void
forget_table(Datum arg, Oid table)
{
	TableEntry *entry = NULL;

	if (OidIsValid(table))
	{
		entry = hash_search(tables, &table, HASH_FIND, NULL);
		if (entry == NULL)
			return;
	}
	if (entry == NULL || entry->kind == TABLE_ABOVE)
		forget_all();
	else
		hash_search(tables, &table, HASH_REMOVE, NULL);
}

void
EventTablesInit(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(TableEntry)};

	if (tables != NULL)
		return;
	tables = hash_create("fast_ingest tables of events", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
}

static bool
is_events(Oid table)
{
	char *name = get_rel_name(table);
	char *schema;

	if (name == NULL || strcmp(name, "events") != 0)
		return false;
	schema = get_namespace_name(get_rel_namespace(table));
	return schema != NULL && strcmp(schema, "fast_ingest") == 0;
}

static TableEntry *
enter_table(Oid table, TableKind kind)
{
	TableEntry *entry = hash_search(tables, &table, HASH_ENTER, NULL);

	entry->kind = kind;
	return entry;
}

static TableEntry *
classify_table(Relation table)
{
	Oid oid = RelationGetRelid(table);
	List *ancestors = table->rd_rel->relispartition ? get_partition_ancestors(oid) : NIL;
	bool has_events = is_events(oid);
	EventRowMap map;
	TableEntry *entry;
	ListCell *cell;

	foreach (cell, ancestors)
		has_events = has_events || is_events(lfirst_oid(cell));
	if (has_events && !EventRowMapMake(&map, RelationGetDescr(table)))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("table \"%s\" does not have the columns of fast_ingest.events",
							   RelationGetRelationName(table))));
	/* no catalog is read from here on, so no message comes in between */
	foreach (cell, ancestors)
		(void) enter_table(lfirst_oid(cell), TABLE_ABOVE);
	entry = enter_table(oid, has_events ? TABLE_OF_EVENTS : TABLE_OF_OTHERS);
	if (has_events)
		entry->map = map;
	return entry;
}

const EventRowMap *
EventTableMap(Relation table)
{
	Oid oid = RelationGetRelid(table);
	TableEntry *entry = hash_search(tables, &oid, HASH_FIND, NULL);

	if (entry == NULL)
		entry = classify_table(table);
	return entry->kind == TABLE_OF_EVENTS ? &entry->map : NULL;
}
