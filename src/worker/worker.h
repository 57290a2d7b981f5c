/*
 * worker.h
 *
 * What all background workers of fast_ingest have in common: registration, signals, the
 * connection, interrupts.
 */
#ifndef FAST_INGEST_WORKER_H
#define FAST_INGEST_WORKER_H

#include <signal.h>

#include "shared/shared_state.h"

/* Set by SIGTERM; then the worker ends in order. */
extern volatile sig_atomic_t WorkerShutdownRequested;

/* When SIGTERM came (see clock.h). */
extern int64 WorkerShutdownTime;

/* Register all workers with the postmaster; called by _PG_init. */
extern void RegisterWorkers(void);

/*
 * Let SIGTERM interrupt a running transaction, as it does in a backend. For workers that lose
 * nothing by it; called before WorkerStart().
 */
extern void WorkerEndAtOnce(void);

/*
 * Become a worker: install signal handlers, enter the slot, connect to a database or, with
 * NULL, to none. A worker that cannot connect ends; each new start waits longer.
 */
extern void WorkerStart(WorkerSlot *slot, const char *dbname);

/*
 * Handle interrupts, barriers and SIGHUP; true if settings were read again. Ends the process
 * if it is connected to a database that somebody wants to drop.
 */
extern bool WorkerHandleInterrupts(void);

/*
 * Publish an error of this worker and log it, but the same one at most once a minute.
 * consequence is a sentence that says what becomes of it. If the message may quote an event,
 * the log has only the error's code.
 */
extern void WorkerReportError(const ErrorData *error, const char *consequence);

/* Sleep until the latch is set, or for that many milliseconds. */
extern void WorkerWait(long timeout);

/* Milliseconds left of fast_ingest.drain_timeout since SIGTERM, at least 0. */
extern long WorkerDrainTimeLeft(void);

/* Does a backend want fast_ingest.database to itself (see database_hold.c)? */
extern bool WorkerOnHold(void);

/* Entry points, called by the postmaster. */
extern PGDLLEXPORT void ListenerMain(Datum arg);
extern PGDLLEXPORT void FlusherMain(Datum arg);
extern PGDLLEXPORT void MaintenanceMain(Datum arg);
extern PGDLLEXPORT void QueryMain(Datum arg);
extern PGDLLEXPORT void StreamMain(Datum arg);

#endif
