/*
 * shared_state.h
 *
 * What the processes of fast_ingest share: the state of the workers, their counters, and
 * what they tell each other.
 *
 * Who may write what
 * ------------------
 * Counters		each by one process (named beside it), read by anybody. They are plain
 *				atomics without order among each other, so the books balance only at
 *				rest.
 * WorkerSlot	see worker_slot.h.
 * other_days	by the flusher, under Shared->lock.
 * dead_letters	by flushers, after their commit.
 * refreshes	by whoever refreshes the rollup, when the transaction ends (see
 *				rollup/refresh/refresh_counters.h). There may be several at a time.
 * hold			by the backend that runs DROP DATABASE (see worker/database_hold.c).
 *
 * Shared memory contains no process-local addresses. Those of locks and latches are in
 * shared memory themselves.
 */
#ifndef FAST_INGEST_SHARED_STATE_H
#define FAST_INGEST_SHARED_STATE_H

#include "port/atomics.h"
#include "storage/lwlock.h"

#include "base/settings.h"
#include "shared/types/histogram.h"
#include "shared/request_counters.h"
#include "shared/staging_rings.h"
#include "shared/worker_slot.h"

/* A listener and its flusher. */
typedef struct
{
	WorkerSlot listener;
	WorkerSlot flusher;

	/* by the listener, in events */
	pg_atomic_uint64 received;
	pg_atomic_uint64 accepted;
	pg_atomic_uint64 rejected;

	/* by the listener */
	pg_atomic_uint32 connections;	  /* open, or about to be */
	pg_atomic_uint32 ports;			  /* that it has open, a bit for each ConnectionKind */
	pg_atomic_uint32 waiting_queries; /* that wait for a free query slot */
	RequestCounters counters;

	/* by the flusher when it commits, in events */
	pg_atomic_uint64 committed;
	pg_atomic_uint64 duplicate;
	pg_atomic_uint64 discarded; /* by a BEFORE trigger of the user's */
	pg_atomic_uint64 dead_lettered;
	pg_atomic_uint64 dead_letters_dropped; /* old ones, to make room */
	pg_atomic_uint64 last_commit;		   /* TimestampTz */
	Histogram batches;					   /* events of a transaction */
	Histogram commits;					   /* from its begin to its commit */

	/* ring positions up to which a commit may not have reached a synchronous standby */
	pg_atomic_uint64 in_doubt[NUM_LANES];

	pg_atomic_uint64 alive_at; /* when the flusher last ran, see clock.h; each second */

	/* by the flusher: 1 while the table refuses every event (see trial_insert.h) */
	pg_atomic_uint32 refuses_all;
	/*
	 * Why events of other days wait while those of today do not, or which partition is in
	 * the way; "" otherwise.
	 */
	char other_days[WORKER_ERROR_SIZE];
} Pair;

typedef struct
{
	LWLock *lock; /* common to all parts that hold one only to copy a few words */

	pg_atomic_uint32 hold; /* pid of a backend that wants the database to itself, or 0 */
	WorkerSlot maintenance;

	/* about how many events wait for a refresh, and their deltas (see rollup/delta/backlog.h) */
	pg_atomic_uint64 backlog;
	pg_atomic_uint64 backlog_deltas;
	pg_atomic_uint64 backlog_since; /* of the oldest of them; see clock.h */

	/* committed refreshes of the rollup, and the others */
	Histogram refreshes;
	pg_atomic_uint64 refreshes_failed;
	pg_atomic_uint64 last_refresh; /* TimestampTz */

	/* an upper limit of the dead letters that flushers stored (see flush/dead_letter.c) */
	pg_atomic_uint64 dead_letters;

	Pair pairs[MAX_LISTENERS]; /* only the first fast_ingest.listeners are in use */
} SharedState;

/* NULL where fast_ingest was not preloaded. */
extern SharedState *Shared;

/* Request shared memory and have it initialized when the server starts; called by _PG_init. */
extern void SharedStateInit(void);

/* Raise an ERROR that says what to set if there is no shared memory. */
extern void SharedStateRequire(void);

/* The sum of a counter or a histogram of all listeners, which is at that offset in Pair. */
extern uint64 SharedSumCounters(size_t offset);
extern HistogramTotal SharedSumHistograms(size_t offset);

/* Add to a counter that only this process writes. */
static inline void
CounterAdd(pg_atomic_uint64 *counter, uint64 n)
{
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + n);
}

#endif
