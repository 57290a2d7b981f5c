/*
 * maintenance_worker.c
 *
 * The maintenance worker does three things:
 *
 * It refreshes the rollup when too many events wait for that, or one waits for too
 * long. pg_cron is the clock of the rollup, and this worker is its alarm: for when
 * events come fast, and for servers without pg_cron. After a refresh it rests for as
 * long as the refresh took, so that inserts get their share of the processors and
 * disks however often the worker is woken.
 *
 * It does the steps of fi_maintain() when somebody calls that function (see
 * maintenance_steps.h).
 *
 * It reads the API keys now and then (see auth/key_publish.h).
 *
 * While there is nothing to do it only looks at counters in shared memory. It runs no
 * transaction but one a minute, for the API keys.
 *
 * SIGTERM ends the worker in the midst of a transaction. Each transaction leaves
 * everything in order if it does not commit, and the next worker begins again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "auth/key_publish.h"
#include "base/clock.h"
#include "base/settings.h"
#include "db/error_class.h"
#include "db/transaction.h"
#include "maintain/maintenance_steps.h"
#include "rollup/delta/backlog.h"
#include "rollup/refresh/refresh.h"
#include "rollup/state/refresh_lock.h"
#include "shared/key_image.h"
#include "shared/maintenance_request.h"
#include "worker/wait_for_extension.h"
#include "worker/worker.h"

#define BACKLOG_WAIT 500	/* ms between two looks at the backlog */
#define EXTENSION_WAIT 1000 /* ms between two looks while the extension is missing */
#define FIRST_RETRY 1000	/* ms */
#define LONGEST_RETRY 60000 /* ms */

/*
 * For how long the worker waits for a lock, unless a step says otherwise. Whoever holds the
 * lock may be the caller of fi_maintain(), who waits for the worker.
 */
#define LOCK_WAIT "30s"

typedef struct
{
	int failures;	  /* in a row */
	int64 rest_until; /* see clock.h */
} RefreshPace;

static void
run_refresh(void *arg)
{
	bool *has_lock = arg;
	RefreshResult result;

	RefreshLock();
	*has_lock = true;
	RefreshRun(&result);
}

/*
 * Refresh the rollup, and rest afterwards: longer after each failure in a row. That another
 * session refreshes it for longer than the worker may wait is no failure.
 */
static void
refresh_rollup(WorkerSlot *slot, RefreshPace *pace)
{
	bool has_lock = false;
	int64 began = MonotonicNow();
	ErrorData *error = RunTransaction("refreshing the rollup", run_refresh, &has_lock);
	int64 ended = MonotonicNow();

	/* autovacuum shall know what was deleted, and the worker may be idle from here on */
	pgstat_report_stat(true);
	if (error == NULL)
	{
		*pace = (RefreshPace){.rest_until = ended + (ended - began)};
		return;
	}
	if (!has_lock && ErrorIsOfLock(error->sqlerrcode))
		return;
	WorkerReportError(error, "The rollup will be refreshed later.");
	WorkerSetRetrying(slot, error);
	pace->rest_until =
		MonotonicAfter(ended, Min(FIRST_RETRY << Min(pace->failures, 10), LONGEST_RETRY));
	pace->failures++;
}

/*
 * Do what a caller of fi_maintain() asks for
 */
static void
serve_request(void)
{
	ErrorData *error;
	Oid role;

	if (!MaintenanceRequestBegin(&role))
		return;
	/* with the settings that the caller sees */
	(void) WorkerHandleInterrupts();
	error = CreatePartitionsAhead();
	if (error == NULL)
		error = DropExpiredPartitions();
	if (error == NULL)
		error = SummarizeIndexes();
	if (error == NULL)
		error = CleanCronLog(role);
	MaintenanceRequestEnd(error);
	pgstat_report_stat(true);
}

/*
 * Tell a caller of fi_maintain() why the worker cannot work. What keeps it from finding the
 * extension may be a lock of the caller, who would wait for ever.
 */
static void
refuse_request(WorkerSlot *slot)
{
	char reason[WORKER_ERROR_SIZE];
	ErrorData error = {.sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE};
	Oid role;

	if (!MaintenanceRequestBegin(&role))
		return;
	WorkerReason(slot, reason);
	error.message = psprintf("the maintenance worker does not run: %s", reason);
	MaintenanceRequestEnd(&error);
}

static void
fail_request(int code, Datum arg)
{
	MaintenanceRequestFail();
}

/*
 * Milliseconds until there may be something to do
 */
static long
compute_wait(bool attached, int64 rest_until)
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
	RefreshPace pace = {0};

	WorkerEndAtOnce();
	WorkerStart(slot, fi_database);
	before_shmem_exit(fail_request, (Datum) 0);
	SetConfigOption("lock_timeout", LOCK_WAIT, PGC_SUSET, PGC_S_OVERRIDE);
	context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest maintenance", ALLOCSET_DEFAULT_SIZES);
	ereport(LOG, (errmsg("fast_ingest maintenance started for database \"%s\"", fi_database)));

	for (;;)
	{
		bool is_long;
		bool is_due;
		bool is_asked;
		bool keys_are_due;
		uint64 keys_generation;

		/* before interrupts are served, which would make it a FATAL error */
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);

		is_long = BacklogIsLong();
		if (!is_long && pace.failures > 0)
			pace = (RefreshPace){0};
		is_due = is_long && MonotonicNow() >= pace.rest_until;
		is_asked = MaintenanceRequestIsAsked();
		keys_are_due = KeyPublishIsDue();
		keys_generation = KeyImageGeneration();
		if (!attached || is_due || is_asked || keys_are_due)
			attached = ExtensionFind(slot);
		if (attached && is_asked)
			serve_request();
		else if (is_asked)
			refuse_request(slot);
		if (attached && keys_are_due)
			KeyPublish(slot);
		else if (!attached && pg_atomic_read_u32(&slot->state) == WORKER_WAITING)
			KeyPublishForget(keys_generation);
		if (attached && is_due)
			refresh_rollup(slot, &pace);
		if (attached && pace.failures == 0)
			WorkerSetState(slot, WORKER_RUNNING, NULL);
		if (!WorkerShutdownRequested)
			WorkerWait(compute_wait(attached, pace.rest_until));
	}
}
