/*
 * attach_from_dump.h
 *
 * The columns and indexes that a user added to fast_ingest.events, in a restored
 * database.
 */
#ifndef FAST_INGEST_ATTACH_FROM_DUMP_H
#define FAST_INGEST_ATTACH_FROM_DUMP_H

/* See partitions being restored from now on; called by _PG_init, preloaded or not. */
extern void RestoreHookInit(void);

#endif
