/*
 * shared_state.h
 *
 * What the processes share: the control block in shared memory.
 *
 * Who may write what
 * ------------------
 * Counters		each by one process (named beside it), read by anybody; plain
 *				atomics without order among each other, so that the books
 *				balance only at rest.
 * WorkerSlot	by its own worker. state, told_to_end and latch are read by anybody
 *				without a lock; everything below them under Shared->lock, held only to
 *				copy a few words.
 * other_days	by the flusher, under Shared->lock.
 * dead_letters	by flushers, after their commit.
 * refreshes	by whoever refreshes the rollup, when the transaction ends (see
 *				rollup/refresh_account.h); there may be several at a time.
 * hold			by the backend that runs DROP DATABASE (see worker.h).
 * Ring			see ring.h.
 *
 * No process-local address is kept here. A Latch is the process's own in its
 * PGPROC, which is shared memory too: setting one of a process that has gone
 * wakes somebody for nothing and harms nobody.
 */
#ifndef FAST_INGEST_SHARED_STATE_H
#define FAST_INGEST_SHARED_STATE_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "base/settings.h"
#include "shared/histogram.h"
#include "shared/ring.h"
#include "shared/request_counters.h"

#define WORKER_ERROR_SIZE 256

typedef enum
{
	WORKER_STOPPED,
	WORKER_STARTING,
	WORKER_WAITING, /* for something outside: the database, CREATE EXTENSION, the port */
	WORKER_RUNNING,
	WORKER_RETRYING, /* after an error that says "not now" */
	WORKER_DRAINING
} WorkerState;

typedef struct
{
	pg_atomic_uint32 state;
	pg_atomic_uint32 told_to_end;		/* set by its signal handler */
	Latch *latch;						/* NULL while there is no process */
	int pid;							/* 0 while there is no process */
	TimestampTz since;					/* of state */
	char reason[WORKER_ERROR_SIZE];		/* for a state other than running, "" else */
	char last_error[WORKER_ERROR_SIZE]; /* "" while there was none */

	/* failed starts in a row, to wait longer each time */
	pg_atomic_uint32 failed_starts;

	/* by the worker, of all starts */
	pg_atomic_uint64 starts;
} WorkerSlot;

/*
 * Events wait for their commit in two lanes, each of which is a ring. What happened today
 * has the first one for itself: it never waits for the partition of another day, which may
 * have to be made, or be locked, or broken. A request is in one lane as a whole; one with any
 * event of another day is in the second.
 */
typedef enum
{
	LANE_TODAY,
	LANE_OTHER_DAYS,
	NUM_LANES
} Lane;

/* A listener, its flusher, and the rings between them. */
typedef struct
{
	WorkerSlot listener;
	WorkerSlot flusher;

	/* by the listener, in events */
	pg_atomic_uint64 received;
	pg_atomic_uint64 accepted;
	pg_atomic_uint64 rejected;

	/* by the listener */
	pg_atomic_uint32 connections; /* open, or about to be */
	pg_atomic_uint32 ports;		  /* that it has open, a bit for each ListenKind */
	pg_atomic_uint32 questions;	  /* that wait for a free query slot */
	RequestCounters traffic;

	/* by the flusher when it commits, in events */
	pg_atomic_uint64 committed;
	pg_atomic_uint64 duplicate;
	pg_atomic_uint64 discarded; /* by a BEFORE trigger of the user's */
	pg_atomic_uint64 dead_lettered;
	pg_atomic_uint64 dead_letters_dropped; /* older ones, to make room */
	pg_atomic_uint64 last_commit;		   /* TimestampTz */
	Histogram batches;					   /* events of a transaction */
	Histogram commits;					   /* from its begin to its commit */

	/* ring positions up to which a commit may not have reached a synchronous standby */
	pg_atomic_uint64 in_doubt[NUM_LANES];

	pg_atomic_uint64 alive_at; /* when the flusher last ran, see clock.h; each second */

	/* by the flusher: 1 while the table refuses every event (see trial_insert.h) */
	pg_atomic_uint32 refuses_all;
	/* why events of other days wait while today's do not, or what partition is in the way; "" else
	 */
	char other_days[WORKER_ERROR_SIZE];
} Pair;

typedef struct
{
	LWLock *lock;
	pg_atomic_uint32 hold; /* pid of a backend that wants the database to itself, or 0 */
	WorkerSlot maintenance;

	/* events that wait for a refresh, more or less, and their deltas (see backlog.h) */
	pg_atomic_uint64 backlog;
	pg_atomic_uint64 backlog_deltas;
	pg_atomic_uint64 backlog_since; /* of the oldest of them; see clock.h */

	/* refreshes of the rollup that were committed, and the others */
	Histogram refreshes;
	pg_atomic_uint64 refreshes_failed;
	pg_atomic_uint64 last_refresh; /* TimestampTz */

	/* at most so many dead letters, but for those that others insert (see dead_letter.c) */
	pg_atomic_uint64 dead_letters;

	Pair pairs[MAX_LISTENERS]; /* of which fast_ingest.listeners are in use */
} SharedState;

/* NULL where fast_ingest was not preloaded. */
extern SharedState *Shared;
/* The rings of each pair. */
extern Ring *StagingRings[MAX_LISTENERS][NUM_LANES];

/* Of both lanes of a pair: events that wait, and since when the oldest does (0 without one). */
extern uint64 PairStagedRecords(Ring **rings);
extern int64 PairOldestStaged(Ring **rings);

/* Ask for shared memory and have it made at server start; called by _PG_init. */
extern void SharedStateInit(void);

/* A slot whose worker has not been started; for shared memory in the making. */
extern void WorkerSlotInit(WorkerSlot *slot);

/* Raise an ERROR that says what to set if there is no shared memory. */
extern void SharedStateRequire(void);

static inline void
CounterAdd(pg_atomic_uint64 *counter, uint64 n)
{
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + n);
}

#endif
