/*
 * database_hold.h
 *
 * DROP DATABASE and CREATE DATABASE of the database that our workers connect to.
 */
#ifndef FAST_INGEST_DATABASE_HOLD_H
#define FAST_INGEST_DATABASE_HOLD_H

/* Register for these commands; called by _PG_init. */
extern void DatabaseHoldInit(void);

#endif
