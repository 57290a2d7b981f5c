/*
 * attach_from_dump.h
 *
 * A restore brings back the columns and indexes that a user had added to
 * fast_ingest.events.
 */
#ifndef FAST_INGEST_ATTACH_FROM_DUMP_H
#define FAST_INGEST_ATTACH_FROM_DUMP_H

/* Watch for partitions that a dump attaches; called by _PG_init, preloaded or not. */
extern void AttachFromDumpInit(void);

#endif
