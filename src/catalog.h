/*
 * catalog.h
 *
 * What CREATE EXTENSION made, by name.
 */
#ifndef FAST_INGEST_CATALOG_H
#define FAST_INGEST_CATALOG_H

/* A table of schema fast_ingest; an ERROR if it is not there. */
extern Oid ExtensionTable(const char *name);

/* The type fi_user_set. */
extern Oid ExtensionSetType(void);

/* The schema of our functions and types, quoted; allocated in the current context. */
extern const char *ExtensionSchema(void);

#endif
