/*
 * refresh.h
 *
 * The refresh merges deltas into the rollup, counts marked times again (see recount.h), and
 * closes hours and days that are over.
 *
 * What makes it exact
 * -------------------
 * One refresh at a time: it holds the refresh's lock until its transaction ends. So closing a
 * bucket and merging a late event into it never overlap.
 *
 * One snapshot, taken after the lock: the refresh merges and deletes the deltas that it shows.
 * Where it counts events again, it counts those that the same snapshot shows, and ignores the
 * deltas of the same buckets.
 *
 * One transaction: readers see all of a refresh or nothing of it.
 */
#ifndef FAST_INGEST_REFRESH_H
#define FAST_INGEST_REFRESH_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

typedef struct
{
	int64 events;		  /* of the merged deltas */
	int64 groups;		  /* of breakdown, event_name, key and bucket, that were merged */
	int64 new_users;	  /* that got a number */
	int64 recounted_rows; /* of events, counted again for each breakdown */
	int64 hours_closed;	  /* including hours without events */
	int64 days_closed;	  /* including days without events */
} RefreshResult;

/*
 * Refresh in the current transaction. Waits for another refresh; inserts and readers do not
 * wait for it. An ERROR in a transaction of isolation level REPEATABLE READ or above (0A000), while
 * a restore is under way (55000), and those of merging and of the breakdowns' expressions.
 */
extern void RefreshRun(RefreshResult *result);

/*
 * Refresh, call a function that changes events and the rollup, and count again what that has
 * marked. The function runs as the owner of the rollup, with SPI. Everything that the snapshot
 * of the refresh shows is merged by then. The function may change only that, and nothing that
 * others have committed since.
 */
typedef void (*RefreshChange)(Snapshot snapshot, void *arg);
extern void RefreshAround(RefreshChange change, void *arg);

/*
 * Set what keeps the planner to index scans, nested loops and sorting, in the current nest level of
 * settings. Statements over the rollup look up few of many rows by its index, whatever the
 * statistics say of a table that changes so fast. They must not hash names and keys: PostgreSQL's
 * hash functions have no seed, and clients could make up texts that collide.
 */
extern void RefreshRestrictPlanner(void);

#endif
