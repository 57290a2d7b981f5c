/*
 * flusher.c
 *
 * The flusher worker: takes all that is staged, stores it, commits, wakes the
 * listener, and looks again. It waits for no timer: while it commits, the next
 * batch gathers.
 *
 * Errors. One that says "not now" leaves the events staged, and they are tried
 * again after a pause that doubles. Any other means that the database
 * refuses some event of the batch: the batch is halved until it is the one
 * that is refused; this becomes a dead letter, and batches grow again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "compat.h"
#include "flush/batch.h"
#include "flush/extension.h"
#include "monotonic.h"
#include "settings.h"
#include "worker.h"

#define IDLE_WAIT 1000	   /* ms between two looks at the extension */
#define EXTENSION_WAIT 200 /* ms between two looks while it is missing */
#define FIRST_RETRY 20	   /* ms */
#define LONGEST_RETRY 5000 /* ms */
#define LISTENER_GRACE 300 /* ms in which a listener hears that it shall end */
#define DRAIN_TICK 1000	   /* ms */

/* Errors of no clear kind are tried this often before an event is blamed. */
#define UNCLEAR_TRIES 3

static Pair *pair;
static MemoryContext batch_context;
static int batch_limit; /* events in the next batch */
static int retries;		/* in a row */
static TimeoutId drain_timeout_id;

/*
 * A statement that hangs (a lock, a synchronous standby) must not keep the
 * server from stopping: after drain_timeout the process ends as a backend would
 */
static void
drain_tick(void)
{
	if (WorkerShutdownRequested && WorkerDrainTimeLeft() == 0)
	{
		ProcDiePending = true;
		InterruptPending = true;
	}
	enable_timeout_after(drain_timeout_id, DRAIN_TICK);
}

/*
 * Sleep for that long, but not beyond a shutdown
 */
static void
pause_for(long timeout)
{
	int64 end = MonotonicAfter(MonotonicNow(), timeout);

	while (!WorkerShutdownRequested && !WorkerOnHold())
	{
		long left = MonotonicLeft(MonotonicNow(), end);

		if (left == 0)
			return;
		WorkerWait(left);
		(void) WorkerHandleInterrupts();
	}
	if (WorkerDrainTimeLeft() > 0)
		WorkerWait(Min(timeout, 50));
}

/*
 * Store one batch, or learn why it cannot be stored
 */
static void
flush_batch(int n)
{
	ErrorData *error;
	bool refused = BatchStore(&error) == BATCH_REFUSED;

	if (refused && error->sqlerrcode == ERRCODE_INTERNAL_ERROR && retries < UNCLEAR_TRIES)
		refused = false;
	if (refused)
	{
		if (n > 1)
		{
			batch_limit = n / 2;
			return;
		}
		WorkerReportError(error, "The event is in fast_ingest.dead_letters.");
		error = BatchBury(error);
	}

	if (error == NULL)
	{
		retries = 0;
		batch_limit = Min(batch_limit * 2, fi_max_batch_events);
		WorkerSetState(&pair->flusher, WorkerShutdownRequested ? WORKER_DRAINING : WORKER_RUNNING,
					   WorkerShutdownRequested ? "the server is shutting down" : NULL);
		return;
	}

	/* less may fit where all of it did not: into the lock table, say */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES)
		batch_limit = Max(n / 2, 1);
	WorkerReportError(error, "The events stay staged and will be tried again.");
	if (!WorkerShutdownRequested)
		WorkerSetState(&pair->flusher, WORKER_RETRYING, error->message);
	pause_for(Min(FIRST_RETRY << Min(retries, 10), LONGEST_RETRY));
	retries++;
}

/*
 * After SIGTERM: may this process end? Not while a listener that was told to
 * end, too, still stages or waits for answers. One that was not will be there
 * for the next flusher; but its own signal may be on its way.
 */
static bool
drained(int staged)
{
	if (WorkerDrainTimeLeft() == 0)
		return true;
	if (pg_atomic_read_u32(&pair->listener.state) == WORKER_STOPPED)
		return staged == 0;
	if (pg_atomic_read_u32(&pair->listener.told_to_end))
		return false;
	return MonotonicNow() >= MonotonicAfter(WorkerShutdownTime, LISTENER_GRACE);
}

void
FlusherMain(Datum arg)
{
	bool attached = false;
	int64 looked_at = 0;

	pair = &Control->pairs[DatumGetInt32(arg)];
	WorkerStart(&pair->flusher, fi_database);
	BatchInit(pair, StagingRings[DatumGetInt32(arg)]);
	drain_timeout_id = RegisterTimeout(USER_TIMEOUT, drain_tick);
	enable_timeout_after(drain_timeout_id, DRAIN_TICK);
	batch_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest batch", ALLOCSET_DEFAULT_SIZES);
	batch_limit = fi_max_batch_events;
	ereport(LOG, (errmsg("fast_ingest flusher started for database \"%s\"", fi_database)));

	for (;;)
	{
		int n;

		MemoryContextReset(batch_context);
		MemoryContextSwitchTo(batch_context);
		if (WorkerHandleInterrupts())
			batch_limit = Min(batch_limit, fi_max_batch_events);

		if (!attached || retries > 0)
		{
			attached = ExtensionFind(&pair->flusher);
			if (!attached)
				WorkerWake(&pair->listener);
			looked_at = MonotonicNow();
			if (attached && retries == 0)
				WorkerSetState(&pair->flusher, WORKER_RUNNING, NULL);
		}
		n = attached ? BatchTake(batch_limit) : 0;
		if (WorkerShutdownRequested && (!attached || drained(n)))
			proc_exit(1);

		if (n > 0)
			flush_batch(n);
		else if (WorkerShutdownRequested)
			WorkerWait(10);
		else if (!attached)
			WorkerWait(EXTENSION_WAIT);
		else
		{
			WorkerWait(IDLE_WAIT);
			/* a quiet moment, for statistics, and to see whether the extension is there */
			if (MonotonicNow() >= MonotonicAfter(looked_at, IDLE_WAIT))
			{
				pgstat_report_stat(true);
				attached = false;
			}
		}
	}
}
