/*
 * database_hold.h
 *
 * DROP DATABASE of the database that our workers are connected to.
 */
#ifndef FAST_INGEST_DATABASE_HOLD_H
#define FAST_INGEST_DATABASE_HOLD_H

/* Install the utility hook; called by _PG_init. */
extern void DropDatabaseHookInit(void);

#endif
