/*
 * equip_partition.h
 *
 * What a table that takes events needs besides its columns.
 */
#ifndef FAST_INGEST_EQUIP_PARTITION_H
#define FAST_INGEST_EQUIP_PARTITION_H

/* A relation's name with its schema, quoted as SQL needs it, in the current memory context. */
extern const char *QualifiedName(Oid relation);

/*
 * " TABLESPACE ..." to put something where that relation is; "" where it is where
 * PostgreSQL puts things unasked.
 */
extern const char *TablespaceClause(Oid relation);

/*
 * Give a partition of fast_ingest.events, and its own partitions, those of the
 * unique index on event_key, our triggers and the replica identity that they lack.
 * Needs SPI, and acts with the rights of the current user: tables that this user
 * does not own are left as they are. An ERROR with a context that says why there is
 * an index where rows that are there already have one event_key twice.
 */
extern void PartitionEquip(Oid partition);

#endif
