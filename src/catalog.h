/*
 * catalog.h
 *
 * What CREATE EXTENSION made, by name.
 */
#ifndef FAST_INGEST_CATALOG_H
#define FAST_INGEST_CATALOG_H

/* A version, with its zero. */
#define EXTENSION_VERSION_SIZE 32

/*
 * The version of the SQL objects, which may be older than the library, or newer:
 * ALTER EXTENSION comes after the server's restart. False if there is no
 * extension.
 */
extern bool ExtensionVersion(char version[EXTENSION_VERSION_SIZE]);

/* A table of schema fast_ingest; an ERROR if it is not there. */
extern Oid ExtensionTable(const char *name);

/* The same, or InvalidOid: in the midst of DROP EXTENSION, say. */
extern Oid ExtensionTableIfThere(const char *name);

/* The type fi_user_set. */
extern Oid ExtensionSetType(void);

/* The schema of our functions and types, quoted; allocated in the current context. */
extern const char *ExtensionSchema(void);

/*
 * Keep events from being truncated or dropped until the transaction ends; to be
 * called before any other table of ours is opened, as whoever truncates them
 * locks them first. An ERROR if row security would hide rows from the user.
 */
extern void ExtensionLockEvents(void);

/*
 * Act as the owner of the deltas, with further security flags, until
 * ExtensionBecomeUser or an ERROR: who writes events, or drops them, needs no
 * rights on what follows from it.
 */
typedef struct
{
	Oid user;
	int security;
} SavedUser;

extern SavedUser ExtensionBecomeOwner(int security);
extern void ExtensionBecomeUser(SavedUser saved);

#endif
