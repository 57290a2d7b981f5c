/*
 * worker.h
 *
 * What all background workers of fast_ingest do alike: registration, signals,
 * their slot in shared memory, interrupts.
 */
#ifndef FAST_INGEST_WORKER_H
#define FAST_INGEST_WORKER_H

#include <signal.h>

#include "shared/shared_state.h"

/* Set by SIGTERM; the worker ends in order then. */
extern volatile sig_atomic_t WorkerShutdownRequested;
/* When SIGTERM came (see clock.h). */
extern int64 WorkerShutdownTime;

/* Register every worker with the postmaster; called by _PG_init. */
extern void RegisterWorkers(void);

/*
 * Before WorkerStart: this worker's transactions may end at any point. SIGTERM
 * breaks off the one that runs, as it would a backend's.
 */
extern void WorkerEndAtOnce(void);

/*
 * Become a worker: signal handlers, slot, connection. dbname NULL connects to
 * no database. A database that cannot be connected to ends the process.
 */
extern void WorkerStart(WorkerSlot *slot, const char *dbname);

/*
 * Serve interrupts, barriers and SIGHUP; true when settings were read again.
 * Ends the process if it is in the way of somebody who wants the database.
 */
extern bool WorkerHandleInterrupts(void);

/*
 * Publish an error of this worker and log it, but the same one only once in a
 * while. consequence is a sentence that says what becomes of it. The log has no message
 * that may quote an event, only the error's code.
 */
extern void WorkerReportError(const ErrorData *error, const char *consequence);

/* Sleep until woken, or for that many milliseconds. */
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

#endif
