/*
 * refresh_counters.h
 *
 * Counts of refreshes in shared memory, Shared->refreshes and those beside it. A
 * refresh is done when the transaction that ran it commits, or is prepared; one that ends
 * by an error or is rolled back, with a savepoint too, has failed. Several refreshes in
 * one transaction are one, as all but the first find next to nothing to do.
 */
#ifndef FAST_INGEST_REFRESH_COUNTERS_H
#define FAST_INGEST_REFRESH_COUNTERS_H

/* It was asked for. */
extern void RefreshBegan(void);

/* It has done its work, in so many microseconds. */
extern void RefreshEnded(int64 time);

#endif
