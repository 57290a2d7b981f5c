/*
 * worker.c
 *
 * Registering and starting the background workers, and what they share.
 *
 * Workers always exit with code 1. With code 0 the postmaster would never start them again,
 * with any other it would restart the whole server. During a shutdown it starts no worker
 * again, whatever the code.
 */
#include "postgres.h"

#include "worker/worker.h"

#include "access/xlog.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"

/*
 * The most seconds between two starts of a worker that cannot connect to its database.
 * CREATE DATABASE wakes it, but not on a standby, so there it tries more often.
 */
#define MAX_CONNECT_WAIT 60
#define MAX_STANDBY_WAIT 5

/* milliseconds between two log lines about the same error */
#define LOG_INTERVAL 60000

volatile sig_atomic_t WorkerShutdownRequested = false;
int64 WorkerShutdownTime = 0;

static bool connected = false;	  /* to fast_ingest.database */
static bool ends_at_once = false; /* see WorkerEndAtOnce */

/*
 * Register the worker with that number, of count ones with the same name and entry point
 */
static void
register_worker(const char *name, const char *entry, int number, int count, BgWorkerStartTime start)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = start;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "fast_ingest");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "%s", entry);
	if (count > 1)
		snprintf(worker.bgw_name, BGW_MAXLEN, "%s %d", name, number + 1);
	else
		snprintf(worker.bgw_name, BGW_MAXLEN, "%s", name);
	snprintf(worker.bgw_type, BGW_MAXLEN, "%s", name);
	worker.bgw_main_arg = Int32GetDatum(number);
	RegisterBackgroundWorker(&worker);
}

/*
 * The flusher comes first: if max_worker_processes is too small, no listener must be without
 * its flusher
 */
static void
register_pair(int i)
{
	register_worker("fast_ingest flusher", "FlusherMain", i, fi_listeners,
					BgWorkerStart_RecoveryFinished);
	register_worker("fast_ingest listener", "ListenerMain", i, fi_listeners,
					BgWorkerStart_ConsistentState);
}

/*
 * Listeners and query workers start on a hot standby as soon as it accepts connections, the
 * workers that write after recovery. If max_worker_processes is too small, a worker of each
 * kind is better than a second listener, so that comes last. Streams come after all others: what
 * they send is stored already.
 */
void
RegisterWorkers(void)
{
	register_pair(0);
	register_worker("fast_ingest maintenance", "MaintenanceMain", 0, 1,
					BgWorkerStart_RecoveryFinished);
	for (int i = 0; i < fi_query_workers; i++)
		register_worker("fast_ingest query", "QueryMain", i, fi_query_workers,
						BgWorkerStart_ConsistentState);
	for (int i = 1; i < fi_listeners; i++)
		register_pair(i);
	for (int i = 0; i < fi_max_streams; i++)
		register_worker("fast_ingest stream", "StreamMain", i, fi_max_streams,
						BgWorkerStart_RecoveryFinished);
}

/*
 * SIGTERM asks the worker to end in order. The postmaster sends it twice, to the process and
 * to its process group, so a second one means nothing.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (!WorkerShutdownRequested)
	{
		WorkerShutdownTime = MonotonicNow();
		WorkerShutdownRequested = true;
		if (MyWorkerSlot != NULL)
			pg_atomic_write_u32(&MyWorkerSlot->told_to_end, 1);
		if (ends_at_once)
		{
			ProcDiePending = true;
			InterruptPending = true;
		}
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * lock_timeout ends a wait by SIGINT. Any other SIGINT is ignored: a flush that is cancelled
 * would only be tried again, and a wait for a synchronous standby that is cancelled counts
 * as a commit.
 */
static void
handle_sigint(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(postgres_signal_arg);
}

/*
 * Wait until nobody wants the database to itself. After each start in a row that could not
 * connect, wait a second longer, because the server logs each of them. CREATE DATABASE ends
 * the wait (see database_hold.c).
 */
static void
wait_to_connect(WorkerSlot *slot, const char *dbname)
{
	pg_atomic_uint32 *failed_starts = &slot->failed_starts;
	int64 start = MonotonicNow();

	if (pg_atomic_fetch_add_u32(failed_starts, 1) > 0)
	{
		char reason[WORKER_ERROR_SIZE];

		snprintf(reason, sizeof(reason), "could not connect to database \"%s\"", dbname);
		WorkerSetState(slot, WORKER_WAITING, reason);
	}
	for (;;)
	{
		int failures = Max((int) pg_atomic_read_u32(failed_starts) - 1, 0);
		int longest = RecoveryInProgress() ? MAX_STANDBY_WAIT : MAX_CONNECT_WAIT;

		if (WorkerShutdownRequested)
			proc_exit(1);
		if (!WorkerOnHold() &&
			MonotonicNow() >= MonotonicAfter(start, Min(failures, longest) * 1000))
			return;
		WorkerWait(100);
	}
}

/*
 * Settings of the database or role must not change the meaning of our statements, stop them,
 * or worsen their plans. The user's choice remains where new partitions are stored
 * (default_tablespace) and what a commit waits for (synchronous_commit).
 */
static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"role", "none"},
		{"session_replication_role", "origin"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"default_table_access_method", "heap"},
		{"check_function_bodies", "on"},
		{"client_min_messages", "notice"},
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"array_nulls", "on"},
		{"quote_all_identifiers", "off"},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		{"constraint_exclusion", "partition"},
		{"enable_bitmapscan", "on"},
		{"enable_hashagg", "on"},
		{"enable_hashjoin", "on"},
		{"enable_indexonlyscan", "on"},
		{"enable_indexscan", "on"},
		{"enable_material", "on"},
		{"enable_mergejoin", "on"},
		{"enable_nestloop", "on"},
		{"enable_partition_pruning", "on"},
		{"enable_seqscan", "on"},
		{"enable_sort", "on"},
		{"enable_tidscan", "on"},
		{"jit", "off"},
		{"plan_cache_mode", "auto"},
		{"search_path", ""},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
#ifdef HAVE_TRANSACTION_TIMEOUT
		{"transaction_timeout", "0"},
#endif
		{"default_transaction_isolation", "read committed"},
		{"row_security", "off"},
	};

	for (int i = 0; i < (int) lengthof(pinned); i++)
		SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

void
WorkerEndAtOnce(void)
{
	ends_at_once = true;
}

void
WorkerStart(WorkerSlot *slot, const char *dbname)
{
	const char *role = fi_role[0] != '\0' ? fi_role : NULL;

	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, handle_sigint);
	BackgroundWorkerUnblockSignals();

	/* before the connection, so that a FATAL there leaves the slot as well */
	WorkerSlotEnter(slot);
	/* SIGTERM may have come before there was a slot to say so in */
	if (WorkerShutdownRequested)
		pg_atomic_write_u32(&slot->told_to_end, 1);

	if (dbname != NULL)
		wait_to_connect(slot, dbname);

	BackgroundWorkerInitializeConnection(dbname, dbname != NULL ? role : NULL,
										 BGWORKER_BYPASS_ROLELOGINCHECK);
	if (dbname != NULL)
	{
		pg_atomic_write_u32(&slot->failed_starts, 0);
		pin_settings();
		connected = true;
	}

	if (CurrentResourceOwner == NULL)
		CurrentResourceOwner = ResourceOwnerCreate(NULL, "fast_ingest worker");
}

bool
WorkerHandleInterrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (connected && WorkerOnHold())
		proc_exit(1);
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

void
WorkerReportError(const ErrorData *error, const char *consequence)
{
	static int64 logged_at = 0;
	static char logged[WORKER_ERROR_SIZE];
	char message[WORKER_ERROR_SIZE];
	bool hidden = !ErrorDescribe(error, message);

	WorkerSetError(MyWorkerSlot, error->message ? error->message : "unknown error");
	if (strcmp(message, logged) == 0 && MonotonicNow() < MonotonicAfter(logged_at, LOG_INTERVAL))
		return;
	strlcpy(logged, message, sizeof(logged));
	logged_at = MonotonicNow();
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("%s: %s", MyBgworkerEntry->bgw_name, message),
				  errdetail_internal("%s", consequence),
				  hidden ? errhint("fi_status() has its message, which may quote an event.") : 0));
}

void
WorkerWait(long timeout)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

long
WorkerDrainTimeLeft(void)
{
	return MonotonicLeft(MonotonicNow(), MonotonicAfter(WorkerShutdownTime, fi_drain_timeout));
}

bool
WorkerOnHold(void)
{
	int holder = (int) pg_atomic_read_u32(&Shared->hold);

	return holder != 0 && BackendPidGetProc(holder) != NULL;
}
