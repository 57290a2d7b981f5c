/*
 * refresh_counters.h
 *
 * Counts refreshes in shared memory, in Shared->refreshes and the counters beside it. A refresh
 * has succeeded when its transaction commits or is prepared. It has failed when it ends with an
 * error or is rolled back, also to a savepoint. Several refreshes in one transaction count as
 * one, as all but the first have next to nothing to do. Without shared memory nothing is counted.
 */
#ifndef FAST_INGEST_REFRESH_COUNTERS_H
#define FAST_INGEST_REFRESH_COUNTERS_H

/* Note that a refresh begins in this transaction. */
extern void RefreshBegan(void);

/* Note that a refresh has done its work, in so many microseconds. */
extern void RefreshEnded(int64 time);

#endif
