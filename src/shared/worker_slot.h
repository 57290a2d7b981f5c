/*
 * worker_slot.h
 *
 * What others see of a background worker: its state, its last error, how to wake it. Every
 * worker has a slot in shared memory, inside the structure that it works with.
 *
 * Locking: only the worker writes to its slot, except that CREATE DATABASE clears
 * failed_starts. What stands before lock is read by anybody without it. What stands behind
 * is written and read under it. It is held only to copy a few words.
 *
 * The latch is that of the worker's PGPROC, which is in shared memory too. Setting one whose
 * process has just ended wakes another process for nothing, which harms nobody.
 */
#ifndef FAST_INGEST_WORKER_SLOT_H
#define FAST_INGEST_WORKER_SLOT_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "db/error_class.h"

#define WORKER_ERROR_SIZE ERROR_DESCRIPTION_SIZE

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
	pg_atomic_uint32 state;			/* WorkerState */
	pg_atomic_uint32 told_to_end;	/* set by the worker's signal handler */
	pg_atomic_uint32 failed_starts; /* in a row: each makes the next one wait longer */
	pg_atomic_uint64 starts;		/* all */
	Latch *latch;					/* NULL while there is no process */

	LWLock *lock;						/* of what follows; constant */
	int pid;							/* 0 while there is no process */
	TimestampTz since;					/* of state */
	char reason[WORKER_ERROR_SIZE];		/* for a state other than running, "" else */
	char last_error[WORKER_ERROR_SIZE]; /* "" while there was none */
} WorkerSlot;

/* Make the slot of a worker that has not been started, in shared memory. */
extern void WorkerSlotInit(WorkerSlot *slot, LWLock *lock);

/* The slot that this process has entered; NULL before and after. */
extern WorkerSlot *MyWorkerSlot;

/* Enter a slot for the rest of the process; an exit callback leaves it. */
extern void WorkerSlotEnter(WorkerSlot *slot);

/* Publish a state; reason says why for any but WORKER_RUNNING, NULL else. Long ones are cut. */
extern void WorkerSetState(WorkerSlot *slot, WorkerState state, const char *reason);

/* Publish an error for fi_status(). Long ones are cut. */
extern void WorkerSetError(WorkerSlot *slot, const char *message);

/* Publish that the worker will try again what failed with an error. */
extern void WorkerSetRetrying(WorkerSlot *slot, const ErrorData *error);

/* Copy why a worker is not running; "" if it is. */
extern void WorkerReason(WorkerSlot *slot, char reason[WORKER_ERROR_SIZE]);

/* Wake a worker, if it has a process. */
extern void WorkerWake(WorkerSlot *slot);

/* Send SIGTERM to a worker, if it has a process; the postmaster starts another one. */
extern void WorkerTerminate(WorkerSlot *slot);

#endif
