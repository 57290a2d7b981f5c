/*
 * refresh_account.h
 *
 * Counts of refreshes in shared memory, Control->refreshes and those beside it. A
 * refresh is done when the transaction that ran it commits, or is prepared; one that ends
 * by an error or is rolled back, with a savepoint too, has failed. Several refreshes in
 * one transaction are one, as all but the first find next to nothing to do.
 */
#ifndef FAST_INGEST_REFRESH_ACCOUNT_H
#define FAST_INGEST_REFRESH_ACCOUNT_H

/* It has its lock and begins to work; what comes after it, up to the commit, is not its time. */
extern void RefreshBegan(void);
extern void RefreshEnded(void);

#endif
