/*
 * flusher.c
 *
 * The flusher worker stores what its listener has staged. The listener stages events in
 * two lanes, which take turns. The flusher waits for no timer: while it commits one
 * batch, the next one gathers.
 *
 * How a batch is stored (batch.c):
 * 1. BatchTake takes what is staged in a lane, within the bounds of a transaction.
 * 2. Partitions that are missing are made, each in a transaction (day_partition.c).
 * 3. One INSERT ... SELECT stores all records (staged_relation.c).
 * 4. At the commit the ring's committed position moves, and the listener is woken, which
 *    answers its clients (batch_commit.c).
 *
 * A transaction that takes long while events of today wait is cancelled and tried again
 * later (cancel_when_blocking.c). An error that may pass leaves the events staged; the lane
 * is tried again after a pause that doubles, while the other lane goes on.
 *
 * Any other error means that the database refuses some event. The batch is halved until
 * that event is alone, or its records are inserted one by one if the reason is known
 * (insert_one_by_one.c). So is a batch that is still not stored after several tries.
 * Then blame.c finds out whether the table accepts other events. If it does, the event is
 * to blame: it becomes a dead letter (dead_letter.c), and batches grow again. If it does
 * not, the administrator has made a mistake: all events stay staged, are tried again, and
 * the log and /ready say so.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "db/error_class.h"
#include "flush/batch.h"
#include "flush/blame.h"
#include "flush/day_partition.h"
#include "worker/wait_for_extension.h"
#include "worker/worker.h"

#define IDLE_WAIT 1000	   /* ms between two looks at the extension */
#define EXTENSION_WAIT 200 /* ms between two looks while it is missing */
#define FIRST_RETRY 20	   /* ms */
#define LONGEST_RETRY 5000 /* ms */
#define LISTENER_GRACE 300 /* ms in which SIGTERM reaches the listener, too */
#define TICK_INTERVAL 1000 /* ms */
#define SLOW_GROWTH 1000   /* ms in which batches do not grow after one was cancelled */
#define ODDITY_WAIT 5000   /* ms between two looks at a partition that is odd */

/* Which events a lane cannot store, for those who ask whether the server is ready. */
typedef enum
{
	TROUBLE_NONE,
	TROUBLE_OF_DAYS, /* those of other days; today's would be stored */
	TROUBLE_OF_ALL
} Trouble;

typedef struct
{
	Lane id;
	int limit;		/* events in the next batch */
	int64 grows_at; /* the earliest time at which limit grows */
	int tries;		/* that failed, in a row */
	int64 retry_at; /* see clock.h */
	Trouble trouble;
	bool refuses_all;				/* the table does, for that reason */
	char reason[WORKER_ERROR_SIZE]; /* of the trouble */
	BlameList blames;
} LaneState;

static Pair *pair;
static MemoryContext batch_context;
static LaneState lanes[NUM_LANES];
static TimeoutId tick_timeout_id;

/*
 * Called by a timer each second, to show that the process is alive. A statement that hangs
 * in a lock or in the wait for a synchronous standby must not keep the server from
 * stopping: after drain_timeout the process ends as a backend would.
 */
static void
report_alive(void)
{
	pg_atomic_write_u64(&pair->alive_at, MonotonicNow());
	if (WorkerShutdownRequested && WorkerDrainTimeLeft() == 0)
	{
		ProcDiePending = true;
		InterruptPending = true;
	}
	enable_timeout_after(tick_timeout_id, TICK_INTERVAL);
}

/*
 * Publish the state of the lanes for the listener, /ready and fi_status()
 */
static void
publish_state(void)
{
	static char shown[WORKER_ERROR_SIZE] = "";
	const LaneState *bad = NULL;
	const char *other_days = NULL;
	bool refuses_all = false;

	for (int i = 0; i < NUM_LANES; i++)
	{
		refuses_all |= lanes[i].refuses_all;
		if (lanes[i].trouble == TROUBLE_OF_ALL && bad == NULL)
			bad = &lanes[i];
		if (lanes[i].trouble == TROUBLE_OF_DAYS)
			other_days = lanes[i].reason;
	}
	if (other_days == NULL)
		other_days = DayOddity() ? DayOddity() : "";

	pg_atomic_write_u32(&pair->refuses_all, refuses_all);
	if (strcmp(shown, other_days) != 0)
	{
		strlcpy(shown, other_days, sizeof(shown));
		LWLockAcquire(Shared->lock, LW_EXCLUSIVE);
		strlcpy(pair->other_days, other_days, WORKER_ERROR_SIZE);
		LWLockRelease(Shared->lock);
	}
	if (WorkerShutdownRequested)
		WorkerSetState(&pair->flusher, WORKER_DRAINING, "the server is shutting down");
	else if (bad != NULL)
		WorkerSetState(&pair->flusher, WORKER_RETRYING, bad->reason);
	else
		WorkerSetState(&pair->flusher, WORKER_RUNNING, NULL);
}

static void
note_success(LaneState *lane)
{
	lane->tries = 0;
	lane->retry_at = 0;
	if (MonotonicNow() >= lane->grows_at)
		lane->limit = Min(lane->limit * 2, fi_max_batch_events);
	lane->trouble = TROUBLE_NONE;
	lane->refuses_all = false;
	publish_state();
}

/*
 * The lane's events stay staged. If the table would accept an event of today, only events
 * of other days are in trouble.
 */
static void
note_trouble(LaneState *lane, BatchResult result, const ErrorData *error)
{
	lane->tries++;
	if (result == BATCH_GAVE_WAY && lane->id == LANE_TODAY && lane->tries < CANCELLED_TRIES)
		return;
	lane->trouble =
		lane->id == LANE_OTHER_DAYS && BatchTodayPasses(error) ? TROUBLE_OF_DAYS : TROUBLE_OF_ALL;
	lane->refuses_all = result == BATCH_REFUSED;
	WorkerReportError(
		error, lane->refuses_all
				   ? "The table refuses every event for this reason: they stay staged and will "
					 "be tried again. Change what refuses them, and they are stored."
				   : "The events stay staged and will be tried again.");
	(void) ErrorDescribe(error, lane->reason);
	if (lane->refuses_all)
		strlcat(lane->reason, ": the table refuses every event", sizeof(lane->reason));
	publish_state();

	/* a try of today's events that was cancelled has been a pause itself */
	if (result != BATCH_GAVE_WAY || lane->id != LANE_TODAY)
		lane->retry_at = MonotonicAfter(
			MonotonicNow(), Min(FIRST_RETRY << Min(lane->tries - 1, 10), LONGEST_RETRY));
}

/*
 * Settle a batch of one event that was not stored: make the event a dead letter if it is to
 * blame. Returns true if it is settled. Else *failure says why it stays staged.
 */
static bool
settle_event(LaneState *lane, FailedTry *failure)
{
	ErrorData *error;

	if (!EventIsToBlame(&lane->blames, failure))
		return false;
	/* what stood in its way may have gone while the others were tried */
	failure->result = BatchStore(&error);
	if (failure->result == BATCH_STORED)
		return true;
	failure->error = error;
	if (!EventIsToBlame(&lane->blames, failure))
		return false;

	WorkerReportError(error, "The event is in fast_ingest.dead_letters.");
	BlameAdd(&lane->blames, error);
	failure->error = BatchBury(error);
	failure->result = BATCH_NOT_NOW;
	return failure->error == NULL;
}

/*
 * A batch of several events was not stored. Returns true if it need not be tried again as it
 * is: less of it will be taken, or its first events were stored one by one.
 */
static bool
split_batch(LaneState *lane, const FailedTry *failure, int n)
{
	const char *blamed = BlameFind(&lane->blames, failure->error);
	bool may_be_refused = failure->result == BATCH_REFUSED || failure->result == BATCH_NOT_NOW;

	if (may_be_refused && blamed != NULL && FailureOfOthers(failure) == TRIAL_OTHERS_ACCEPTED &&
		BatchInsertOneByOne(blamed))
	{
		note_success(lane);
		return true;
	}
	if (failure->result == BATCH_GAVE_WAY)
	{
		/* each try costs others a moment: few of them, to find one event among many */
		lane->limit = Max(n / 8, 1);
		lane->grows_at = MonotonicAfter(MonotonicNow(), SLOW_GROWTH);
		return true;
	}
	if (may_be_refused && !FailureMayPass(&lane->blames, failure))
	{
		lane->limit = n / 2;
		return true;
	}
	return false;
}

/*
 * Store a batch of n events, or learn why it cannot be stored
 */
static void
flush_batch(LaneState *lane, int n)
{
	ErrorData *error;
	FailedTry failure = {.lane = lane->id, .tries = lane->tries};

	failure.result = BatchStore(&error);
	if (failure.result == BATCH_STORED)
	{
		note_success(lane);
		return;
	}
	failure.error = error;
	if (failure.result == BATCH_REFUSED && error->sqlerrcode == ERRCODE_INTERNAL_ERROR &&
		lane->tries < PASSING_TRIES)
		failure.result = BATCH_NOT_NOW;

	if (n > 1 && split_batch(lane, &failure, n))
		return;
	/* a part of it may fit where all of it did not: into the lock table, say */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES)
		lane->limit = Max(n / 2, 1);
	if (n == 1 && settle_event(lane, &failure))
		note_success(lane);
	else
		note_trouble(lane, failure.result, failure.error);
}

/*
 * Take a batch of the lane, unless it pauses after a failure; returns how many events
 */
static int
take_batch(LaneState *lane)
{
	if (MonotonicNow() < lane->retry_at && !WorkerShutdownRequested && !WorkerOnHold())
		return 0;
	return BatchTake(lane->id, lane->limit, lane->tries);
}

/*
 * ms until a lane in trouble is tried again, or until the next look
 */
static long
compute_wait(void)
{
	long wait = IDLE_WAIT;

	for (int i = 0; i < NUM_LANES; i++)
		if (lanes[i].tries > 0)
			wait = Min(wait, MonotonicLeft(MonotonicNow(), lanes[i].retry_at));
	return Max(wait, 1);
}

/*
 * After SIGTERM: may this process end? Not while its listener was told to end as well and
 * still stages events or waits for answers. A listener that goes on will have the next
 * flusher. But its own signal may still be on its way.
 */
static bool
may_end(uint64 staged)
{
	if (WorkerDrainTimeLeft() == 0)
		return true;
	if (pg_atomic_read_u32(&pair->listener.state) == WORKER_STOPPED)
		return staged == 0;
	if (pg_atomic_read_u32(&pair->listener.told_to_end))
		return false;
	return MonotonicNow() >= MonotonicAfter(WorkerShutdownTime, LISTENER_GRACE);
}

/*
 * Wait while there is nothing to store. Returns false when it is time to look for the
 * extension again.
 */
static bool
wait_for_events(int64 *looked_at)
{
	static int64 odd_at = 0;

	WorkerWait(compute_wait());
	if (MonotonicNow() < MonotonicAfter(*looked_at, IDLE_WAIT))
		return true;
	/* a quiet moment for statistics */
	pgstat_report_stat(true);
	if (DayOddity() != NULL && MonotonicNow() >= MonotonicAfter(odd_at, ODDITY_WAIT))
	{
		BatchLookAtOddDay();
		odd_at = MonotonicNow();
		publish_state();
	}
	return false;
}

static bool
is_in_trouble(void)
{
	for (int i = 0; i < NUM_LANES; i++)
		if (lanes[i].tries > 0)
			return true;
	return false;
}

void
FlusherMain(Datum arg)
{
	Ring **rings = StagingRings[DatumGetInt32(arg)];
	bool attached = false;
	int64 looked_at = 0;

	pair = &Shared->pairs[DatumGetInt32(arg)];
	ErrorExpectUserTriggers();
	WorkerStart(&pair->flusher, fi_database);
	BatchInit(pair, rings);
	pg_atomic_write_u64(&pair->alive_at, MonotonicNow());
	tick_timeout_id = RegisterTimeout(USER_TIMEOUT, report_alive);
	enable_timeout_after(tick_timeout_id, TICK_INTERVAL);
	batch_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest batch", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < NUM_LANES; i++)
		lanes[i] = (LaneState){.id = i, .limit = fi_max_batch_events};
	ereport(LOG, (errmsg("fast_ingest flusher started for database \"%s\"", fi_database)));

	for (;;)
	{
		bool stored = false;

		MemoryContextReset(batch_context);
		MemoryContextSwitchTo(batch_context);
		if (WorkerHandleInterrupts())
			for (int i = 0; i < NUM_LANES; i++)
				lanes[i].limit = Min(lanes[i].limit, fi_max_batch_events);

		if (!attached ||
			(is_in_trouble() && MonotonicNow() >= MonotonicAfter(looked_at, EXTENSION_WAIT)))
		{
			attached = ExtensionFind(&pair->flusher);
			if (!attached)
				WorkerWake(&pair->listener);
			looked_at = MonotonicNow();
			if (attached)
				publish_state();
		}
		if (WorkerShutdownRequested && (!attached || may_end(PairStagedRecords(rings))))
			proc_exit(1);

		for (int i = 0; attached && i < NUM_LANES; i++)
		{
			int n = take_batch(&lanes[i]);

			if (n > 0)
				flush_batch(&lanes[i], n);
			stored = stored || n > 0;
		}
		if (!attached)
			WorkerWait(EXTENSION_WAIT);
		else if (WorkerShutdownRequested && (!stored || is_in_trouble()))
			WorkerWait(is_in_trouble() ? 50 : 10);
		else if (!stored)
			attached = wait_for_events(&looked_at);
	}
}
