/*
 * refresh.h
 *
 * The refresh: merges deltas into the rollup, counts dirty buckets again, and
 * closes hours and days that are over.
 *
 * What makes it exact
 * -------------------
 * One refresh at a time: it holds a lock of its own, on nothing anybody else
 * locks, to the end of its transaction. So closing a bucket and merging a late
 * event into it never overlap.
 *
 * One snapshot, taken after the lock: the deltas it merges are those it sees,
 * and those it deletes; where it counts raw rows again, it counts those of the same
 * snapshot, and drops the deltas of the same buckets.
 *
 * One transaction: who reads sees all of a refresh or nothing.
 */
#ifndef FAST_INGEST_REFRESH_H
#define FAST_INGEST_REFRESH_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

typedef struct
{
	int64 events;		/* merged out of deltas */
	int64 groups;		/* of breakdown, event_name, key and bucket, that they were merged into */
	int64 users;		/* new in the dictionary */
	int64 raw_rows;		/* counted again, for each breakdown */
	int64 hours_closed; /* how many hours, counting empty ones */
	int64 days_closed;	/* and days */
} RefreshResult;

/*
 * Refresh, in the current transaction. Waits for another refresh, stops neither inserts nor
 * readers. An ERROR in a transaction of isolation level REPEATABLE READ or above.
 */
extern void RefreshRun(RefreshResult *result);

/*
 * Refresh, have events and the rollup changed, and refresh again what that marks. The
 * change runs as the owner of the rollup, with SPI, and is to change what the snapshot
 * of the refresh shows, of which everything is merged. What others commit meanwhile has
 * no part in it.
 */
typedef void (*RefreshChange)(Snapshot snapshot, void *arg);
extern void RefreshAround(RefreshChange change, void *arg);

#endif
