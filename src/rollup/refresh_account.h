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

/* It was asked for. */
extern void RefreshBegan(void);

/* It has done its work, in so many microseconds. */
extern void RefreshEnded(int64 time);

#endif
