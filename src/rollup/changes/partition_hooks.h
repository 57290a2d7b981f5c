/*
 * partition_hooks.h
 *
 * Keeps the rollup right when partitions of events are dropped, detached or attached.
 */
#ifndef FAST_INGEST_PARTITION_HOOKS_H
#define FAST_INGEST_PARTITION_HOOKS_H

/* Install the hooks; called by _PG_init. */
extern void PartitionHooksInit(void);

#endif
