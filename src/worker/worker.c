/*
 * worker.c
 *
 * Registration and the common ground of the background workers.
 *
 * Workers always exit with code 1: 0 would take them off the postmaster's list
 * for ever, anything else would restart the whole server. During a shutdown
 * the postmaster does not restart them whatever the code.
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

#include "base/compat.h"
#include "db/transaction.h"
#include "base/clock.h"
#include "base/settings.h"

/*
 * Seconds between two starts of a worker whose database is not there, at most. On
 * a standby nobody tells that it was created: there the worker looks more often.
 */
#define MAX_CONNECT_WAIT 60
#define MAX_STANDBY_WAIT 5

/* ms between two log lines about the same trouble */
#define LOG_INTERVAL 60000

volatile sig_atomic_t WorkerShutdownRequested = false;
int64 WorkerShutdownTime = 0;

static WorkerSlot *my_slot = NULL;
static bool connected = false;	  /* to fast_ingest.database */
static bool ends_at_once = false; /* see WorkerEndAtOnce */

/*
 * Listeners and query workers start before the others on a hot standby: as soon as
 * it can be asked. What writes starts where writing is possible. name is that of the
 * kind; one of several is told apart in the log by its number.
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
 * A flusher before its listener: where worker slots run out, no listener shall be
 * without a flusher, and what there is one of comes before the second pair.
 */
static void
register_pair(int i)
{
	register_worker("fast_ingest flusher", "FlusherMain", i, fi_listeners,
					BgWorkerStart_RecoveryFinished);
	register_worker("fast_ingest listener", "ListenerMain", i, fi_listeners,
					BgWorkerStart_ConsistentState);
}

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
}

/*
 * SIGTERM asks to end in order. The postmaster sends it twice, to the process
 * and to its group: a second one means nothing.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (!WorkerShutdownRequested)
	{
		WorkerShutdownTime = MonotonicNow();
		WorkerShutdownRequested = true;
		if (my_slot != NULL)
			pg_atomic_write_u32(&my_slot->told_to_end, 1);
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
 * SIGINT is how lock_timeout ends a wait. Otherwise it means nothing: a flush must not be
 * cancelled, for it would only be tried again, and a wait for a synchronous standby that
 * is cancelled counts as a commit.
 */
static void
handle_sigint(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(postgres_signal_arg);
}

/*
 * Leave the slot, whichever way the process ends
 */
static void
leave_slot(int code, Datum arg)
{
	if (my_slot == NULL)
		return;
	LWLockAcquire(Shared->lock, LW_EXCLUSIVE);
	if (my_slot->pid == MyProcPid)
	{
		my_slot->latch = NULL;
		my_slot->pid = 0;
		my_slot->since = GetCurrentTimestamp();
		strlcpy(my_slot->reason, "it is being restarted", WORKER_ERROR_SIZE);
		pg_atomic_write_u32(&my_slot->state, WORKER_STOPPED);
	}
	LWLockRelease(Shared->lock);
	my_slot = NULL;
}

static void
enter_slot(WorkerSlot *slot)
{
	LWLockAcquire(Shared->lock, LW_EXCLUSIVE);
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	CounterAdd(&slot->starts, 1);
	pg_atomic_write_u32(&slot->told_to_end, 0);
	LWLockRelease(Shared->lock);
	my_slot = slot;
	if (WorkerShutdownRequested)
		pg_atomic_write_u32(&slot->told_to_end, 1);
	WorkerSetState(slot, WORKER_STARTING, "it is starting");
}

/*
 * Wait until nobody wants the database to itself, and a second longer after
 * each start in a row that could not connect: every one of them is logged.
 * CREATE DATABASE ends the wait (see database_hold.c).
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
 * Settings of the database or role must not change what our statements mean, nor stop
 * them, nor give them worse plans. On which disk new partitions are (default_tablespace) and
 * what a commit waits for (synchronous_commit) is the user's choice also here.
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

	/* before the connection, so that a FATAL there cleans up as well */
	before_shmem_exit(leave_slot, (Datum) 0);
	enter_slot(slot);

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
WorkerSetState(WorkerSlot *slot, WorkerState state, const char *reason)
{
	reason = reason ? reason : "";
	if (pg_atomic_read_u32(&slot->state) == (uint32) state && strcmp(slot->reason, reason) == 0)
		return;
	LWLockAcquire(Shared->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&slot->state) != (uint32) state)
		slot->since = GetCurrentTimestamp();
	strlcpy(slot->reason, reason, WORKER_ERROR_SIZE);
	pg_atomic_write_u32(&slot->state, state);
	LWLockRelease(Shared->lock);
}

void
WorkerSetError(WorkerSlot *slot, const char *message)
{
	LWLockAcquire(Shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->last_error, message, WORKER_ERROR_SIZE);
	LWLockRelease(Shared->lock);
}

static bool
is_flusher(void)
{
	for (int i = 0; i < fi_listeners; i++)
		if (my_slot == &Shared->pairs[i].flusher)
			return true;
	return false;
}

/*
 * Was the error raised by the server itself? Procedural languages have text domains of
 * their own: what is raised in them may say anything, under any code.
 */
static bool
is_of_server(const ErrorData *error)
{
	return error->domain == NULL || strcmp(error->domain, PG_TEXTDOMAIN("postgres")) == 0;
}

/*
 * May the message of an error quote an event? One about data does, and what a trigger
 * of the user's raises. Such a trigger may also make SQL of an event, that is wrong, or the
 * name of a file or an object. Its errors have more context than the one line of our own
 * statements, which are found wrong before they run: that leaves none.
 */
static bool
may_quote_event(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (!is_of_server(error))
		return true;
	if (is_flusher() && error->context != NULL &&
		(category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		 strchr(error->context, '\n') != NULL))
		return true;
	return !ErrorIsTransient(error->sqlerrcode) && category != ERRCODE_INTERNAL_ERROR;
}

bool
WorkerDescribeError(const ErrorData *error, char description[WORKER_ERROR_SIZE])
{
	const char *state = unpack_sql_state(error->sqlerrcode);

	if (!may_quote_event(error))
	{
		strlcpy(description, error->message ? error->message : "unknown error", WORKER_ERROR_SIZE);
		return true;
	}
	if (is_of_server(error) && error->constraint_name != NULL)
		snprintf(description, WORKER_ERROR_SIZE, "error %s of constraint \"%s\"", state,
				 error->constraint_name);
	else if (is_of_server(error) && error->column_name != NULL)
		snprintf(description, WORKER_ERROR_SIZE, "error %s of column \"%s\"", state,
				 error->column_name);
	else
		snprintf(description, WORKER_ERROR_SIZE, "error %s", state);
	return false;
}

void
WorkerReportError(const ErrorData *error, const char *consequence)
{
	static int64 logged_at = 0;
	static char logged[WORKER_ERROR_SIZE];
	char message[WORKER_ERROR_SIZE];
	bool hidden = !WorkerDescribeError(error, message);

	WorkerSetError(my_slot, error->message ? error->message : "unknown error");
	if (strcmp(message, logged) == 0 && MonotonicNow() < MonotonicAfter(logged_at, LOG_INTERVAL))
		return;
	strlcpy(logged, message, sizeof(logged));
	logged_at = MonotonicNow();
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("%s: %s", MyBgworkerEntry->bgw_name, message),
				  errdetail_internal("%s", consequence),
				  hidden ? errhint("fi_status() has its message, which may quote an event.") : 0));
}

void
WorkerSetRetrying(WorkerSlot *slot, const ErrorData *error)
{
	char reason[WORKER_ERROR_SIZE];

	(void) WorkerDescribeError(error, reason);
	WorkerSetState(slot, WORKER_RETRYING, reason);
}

void
WorkerReason(WorkerSlot *slot, char reason[WORKER_ERROR_SIZE])
{
	LWLockAcquire(Shared->lock, LW_SHARED);
	strlcpy(reason, slot->reason, WORKER_ERROR_SIZE);
	LWLockRelease(Shared->lock);
}

void
WorkerWait(long timeout)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

void
WorkerTerminate(WorkerSlot *slot)
{
	LWLockAcquire(Shared->lock, LW_SHARED);
	if (slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(Shared->lock);
}

void
WorkerWake(WorkerSlot *slot)
{
	Latch *latch = *(Latch *volatile *) &slot->latch;

	if (latch != NULL)
		SetLatch(latch);
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
