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

#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "flush/batch.h"
#include "flush/transaction.h"
#include "settings.h"
#include "worker.h"

#define IDLE_WAIT 1000	   /* ms between two looks at the extension */
#define EXTENSION_WAIT 200 /* ms between two looks while it is missing */
#define FIRST_RETRY 20	   /* ms */
#define LONGEST_RETRY 5000 /* ms */
#define LOG_INTERVAL 60000 /* ms between two log lines about the same trouble */
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
	TimestampTz start = GetCurrentTimestamp();

	while (!WorkerShutdownRequested && !WorkerOnHold())
	{
		long left = timeout - TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());

		if (left <= 0)
			return;
		WorkerWait(left);
		(void) WorkerHandleInterrupts();
	}
	if (WorkerDrainTimeLeft() > 0)
		WorkerWait(Min(timeout, 50));
}

/*
 * Log an error, but the same one only once in a while
 */
static void
report_error(const ErrorData *error, const char *consequence)
{
	static TimestampTz logged_at = 0;
	static char logged[WORKER_ERROR_SIZE];
	char message[WORKER_ERROR_SIZE];

	snprintf(message, sizeof(message), "%s", error->message ? error->message : "unknown error");
	WorkerSetError(&pair->flusher, message);
	if (strcmp(message, logged) == 0 &&
		!TimestampDifferenceExceeds(logged_at, GetCurrentTimestamp(), LOG_INTERVAL))
		return;
	strlcpy(logged, message, sizeof(logged));
	logged_at = GetCurrentTimestamp();
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("fast_ingest flusher: %s", message),
				  errdetail_internal("%s", consequence)));
}

static void
check_extension_body(void *arg)
{
	*(bool *) arg = OidIsValid(get_extension_oid("fast_ingest", true));
}

/*
 * Can events be stored here? Publishes why not.
 */
static bool
check_extension(void)
{
	bool exists = false;
	char reason[WORKER_ERROR_SIZE];
	ErrorData *error;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		snprintf(reason, sizeof(reason), "database \"%s\" has the encoding %s: UTF8 is needed",
				 fi_database, GetDatabaseEncodingName());
		WorkerSetState(&pair->flusher, WORKER_WAITING, reason);
		return false;
	}
	error = RunTransaction("looking for the extension", check_extension_body, &exists);
	if (error != NULL)
	{
		report_error(error, "It looks for the extension again.");
		WorkerSetState(&pair->flusher, WORKER_RETRYING, error->message);
		return false;
	}
	if (exists)
		return true;

	snprintf(reason, sizeof(reason), "extension fast_ingest is not created in database \"%s\"",
			 fi_database);
	WorkerSetState(&pair->flusher, WORKER_WAITING, reason);
	WorkerWake(&pair->listener);
	return false;
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
		report_error(error, "The event is in fast_ingest.dead_letters.");
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
	report_error(error, "The events stay staged and will be tried again.");
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
	return TimestampDifferenceExceeds(WorkerShutdownTime, GetCurrentTimestamp(), LISTENER_GRACE);
}

void
FlusherMain(Datum arg)
{
	bool attached = false;
	TimestampTz looked_at = 0;

	pair = &Control->pair;
	WorkerStart(&pair->flusher, fi_database);
	BatchInit(pair, StagingRing);
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
			attached = check_extension();
			looked_at = GetCurrentTimestamp();
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
			if (TimestampDifferenceExceeds(looked_at, GetCurrentTimestamp(), IDLE_WAIT))
			{
				pgstat_report_stat(true);
				attached = false;
			}
		}
	}
}
