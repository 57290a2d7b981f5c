/*
 * maintenance_worker.c
 *
 * The maintenance worker. pg_cron is the clock of the rollup; this is its alarm:
 * it refreshes the rollup when too much waits for it, or for too long, be it that events
 * come fast or that there is no pg_cron. It looks at counters in shared memory and
 * runs no transaction while there is nothing to do, but one a minute: it looks at
 * the API keys, too (see auth/key_load.h).
 *
 * It rests for as long as the last refresh took, so that inserts have their share of
 * the processors and disks however often it is woken.
 *
 * A refresh is all or nothing. So SIGTERM ends the worker in the midst of one,
 * and the next one begins again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "auth/key_publish.h"
#include "shared/key_image.h"
#include "worker/wait_for_extension.h"
#include "db/transaction.h"
#include "base/clock.h"
#include "rollup/delta/backlog.h"
#include "rollup/refresh/refresh.h"
#include "base/settings.h"
#include "worker/worker.h"

#define BACKLOG_WAIT 500	/* ms between two looks at the backlog */
#define EXTENSION_WAIT 1000 /* ms between two looks while the extension is missing */
#define FIRST_RETRY 1000	/* ms */
#define LONGEST_RETRY 60000 /* ms */

static void
run_refresh(void *arg)
{
	RefreshResult result;

	RefreshRun(&result);
}

/*
 * Refresh the rollup; false where it failed
 */
static bool
refresh(WorkerSlot *slot)
{
	ErrorData *error;

	error = RunTransaction("refreshing the rollup", run_refresh, NULL);
	/* what was merged is for autovacuum to know, and the worker may be idle from here on */
	pgstat_report_stat(true);
	if (error == NULL)
		return true;
	WorkerReportError(error, "The rollup will be refreshed later.");
	WorkerSetRetrying(slot, error);
	return false;
}

/*
 * Milliseconds until there may be something to do
 */
static long
time_to_wait(bool attached, int64 rest_until)
{
	if (!attached)
		return EXTENSION_WAIT;
	return BacklogIsLong() ? Min(BACKLOG_WAIT, MonotonicLeft(MonotonicNow(), rest_until))
						   : BACKLOG_WAIT;
}

void
MaintenanceMain(Datum arg)
{
	WorkerSlot *slot = &Shared->maintenance;
	MemoryContext context;
	bool attached = false;
	int failures = 0; /* in a row */
	int64 rest_until = 0;

	WorkerEndAtOnce();
	WorkerStart(slot, fi_database);
	context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest maintenance", ALLOCSET_DEFAULT_SIZES);
	ereport(LOG, (errmsg("fast_ingest maintenance started for database \"%s\"", fi_database)));

	for (;;)
	{
		bool is_long;
		bool is_due;
		bool keys_are_due;
		uint64 keys_generation;

		/* before interrupts are served, which would make it a FATAL error */
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);

		is_long = BacklogIsLong();
		if (!is_long && failures > 0)
			failures = rest_until = 0;
		is_due = is_long && MonotonicNow() >= rest_until;
		keys_are_due = KeyPublishIsDue();
		keys_generation = KeyImageGeneration();
		if (!attached || is_due || keys_are_due)
			attached = ExtensionFind(slot);
		if (attached && keys_are_due)
			KeyPublish(slot);
		else if (!attached && pg_atomic_read_u32(&slot->state) == WORKER_WAITING)
			KeyPublishForget(keys_generation);
		if (attached && is_due)
		{
			int64 began = MonotonicNow();

			if (refresh(slot))
			{
				failures = 0;
				rest_until = MonotonicNow() + (MonotonicNow() - began);
			}
			else
			{
				rest_until = MonotonicAfter(MonotonicNow(),
											Min(FIRST_RETRY << Min(failures, 10), LONGEST_RETRY));
				failures++;
			}
		}
		if (attached && failures == 0)
			WorkerSetState(slot, WORKER_RUNNING, NULL);
		if (!WorkerShutdownRequested)
			WorkerWait(time_to_wait(attached, rest_until));
	}
}
