/*
 * own_tables.h
 *
 * What CREATE EXTENSION made, by name.
 */
#ifndef FAST_INGEST_OWN_TABLES_H
#define FAST_INGEST_OWN_TABLES_H

/* A version, with its zero. */
#define EXTENSION_VERSION_SIZE 32

/*
 * The version of the SQL objects, which may be older than the library, or newer:
 * ALTER EXTENSION comes after the server's restart. False if there is no
 * extension.
 */
extern bool ExtensionVersion(char version[EXTENSION_VERSION_SIZE]);

/* A table of schema fast_ingest; an ERROR if it is not there. */
extern Oid OwnTable(const char *name);

/* The same, or InvalidOid: in the midst of DROP EXTENSION, say. */
extern Oid OwnTableIfThere(const char *name);

/*
 * Keep events from being truncated or dropped until the transaction ends; to be
 * called before any other table of ours is opened, as whoever truncates them
 * locks them first. An ERROR if row security would hide rows from the user: ask
 * before the user becomes an owner.
 */
extern void LockEventsTable(void);

/*
 * Whose rights what is done with. Who writes events, asks about them or refreshes
 * the rollup needs no rights on the tables behind it: not even to see them, for
 * events have user_ids in them. The functions are not SECURITY DEFINER: that would
 * run all of it as one role. There are two:
 *
 * - The owner of the rollup, usually a superuser, reads and writes the tables of
 *   the rollup, on which nobody else can put a function.
 * - The owner of events, who may be an ordinary role, reads raw rows, evaluates
 *   breakdowns over them and makes partitions. Casts, constraints, indexes and
 *   functions that come with the table's definition run with its owner's rights,
 *   and so do the expressions of breakdowns: as REINDEX and ANALYZE do it.
 *
 * Each until ActAsCallerAgain or an ERROR, restricted as those commands are, and
 * with a search_path of its own: hooks and triggers run with that of whoever drops
 * a partition or inserts.
 */
typedef struct
{
	Oid user;
	int security;
	int settings; /* nesting level */
} SavedUser;

extern SavedUser ActAsRollupOwner(void);
extern SavedUser ActAsEventsOwner(void);
extern void ActAsCallerAgain(SavedUser saved);

#endif
