/*
 * refresh_lock.h
 *
 * A refresh holds this lock until its transaction ends, so that there is one at a time. All
 * others take it who change the rollup, or who change a row that a refresh reads at its
 * beginning. Take it before any lock on events or a partition: then waiting for a refresh keeps
 * no other process from events.
 */
#ifndef FAST_INGEST_REFRESH_LOCK_H
#define FAST_INGEST_REFRESH_LOCK_H

/* Wait for the refresh under way, and let none begin until this transaction ends. */
extern void RefreshLock(void);

#endif
