/*
 * equip_partition.h
 *
 * What a partition of fast_ingest.events needs besides its columns.
 */
#ifndef FAST_INGEST_EQUIP_PARTITION_H
#define FAST_INGEST_EQUIP_PARTITION_H

/* A relation's name with its schema, quoted as SQL needs it, in the current memory context. */
extern const char *QualifiedName(Oid relation);

/*
 * The clause " TABLESPACE ..." that puts something where a relation is, in the current
 * memory context; "" if the relation is in the default tablespace of the database.
 */
extern const char *TablespaceClause(Oid relation);

/*
 * Give a partition of fast_ingest.events, and its own partitions, what they lack: the
 * unique index on event_key, our triggers and the replica identity. Needs SPI, and acts
 * with the rights of the current user. Foreign tables, and tables that the user does not
 * own, are left as they are. An ERROR if rows that are there already have one event_key
 * twice; its context says what the index is for.
 */
extern void PartitionEquip(Oid partition);

#endif
