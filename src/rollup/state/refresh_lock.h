/*
 * refresh_lock.h
 *
 * The lock that one refresh at a time holds, to the end of its transaction. Whatever else
 * changes the rollup or what a refresh reads once takes it, too. Nothing but this lock is
 * locked by it: whoever waits for a refresh keeps nobody from events. It is taken before
 * any lock on events or on a partition.
 */
#ifndef FAST_INGEST_REFRESH_LOCK_H
#define FAST_INGEST_REFRESH_LOCK_H

/* Let no refresh begin until the transaction ends; waits for the one under way. */
extern void RefreshLock(void);

#endif
