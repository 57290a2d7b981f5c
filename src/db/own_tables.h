/*
 * own_tables.h
 *
 * Finding and locking what CREATE EXTENSION made. The tables are always in schema
 * fast_ingest. The type fi_user_set and what people call are in the schema that the user
 * chose. All functions need a transaction.
 */
#ifndef FAST_INGEST_OWN_TABLES_H
#define FAST_INGEST_OWN_TABLES_H

/* Find a table of schema fast_ingest. An ERROR with a hint if it does not exist. */
extern Oid OwnTable(const char *name);

/* The same, but InvalidOid if it does not exist, as in the middle of DROP EXTENSION. */
extern Oid OwnTableIfThere(const char *name);

/*
 * Is a table the fast_ingest.events of the extension? Where the extension does not exist,
 * anybody may make a schema and a table of these names. False for InvalidOid.
 */
extern bool IsEventsTable(Oid table);

/* Keep the extension from being dropped until the transaction ends; an ERROR without one. */
extern void ExtensionLock(void);

/*
 * Keep table events from being truncated or dropped until the transaction ends. Call it
 * before any other table of ours is opened, because TRUNCATE locks events first. Call it
 * before ActAsRollupOwner(): it raises an ERROR if row security would hide rows from the
 * current user.
 */
extern void LockEventsTable(void);

#endif
