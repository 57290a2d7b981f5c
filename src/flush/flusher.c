/*
 * flusher.c
 *
 * The flusher worker: takes all that is staged, stores it, commits, wakes the
 * listener, and looks again. It waits for no timer: while it commits, the next
 * batch gathers.
 *
 * The lanes take turns. One that is in trouble is tried again after a pause that
 * doubles, while the other goes on.
 *
 * Errors. One that says "not now" leaves the events staged. Any other means that the
 * database refuses some event of the batch: the batch is halved until it is the one
 * that is refused. So it is with a batch that is not stored for the moment for several
 * moments, or that takes so long that others have to wait. Of the event that is left,
 * evidence says whether it is the only one: then it becomes a dead letter, and batches
 * grow again. Else nothing is wrong with it, and it stays staged like all the others.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "flush/batch.h"
#include "flush/day_partition.h"
#include "worker/wait_for_extension.h"
#include "flush/sift.h"
#include "base/clock.h"
#include "base/settings.h"
#include "db/error_class.h"
#include "worker/worker.h"

#define IDLE_WAIT 1000	   /* ms between two looks at the extension */
#define EXTENSION_WAIT 200 /* ms between two looks while it is missing */
#define FIRST_RETRY 20	   /* ms */
#define LONGEST_RETRY 5000 /* ms */
#define LISTENER_GRACE 300 /* ms in which a listener hears that it shall end */
#define DRAIN_TICK 1000	   /* ms */
#define BLAME_TIME 1000	   /* ms in which what was found out about events holds for others */
#define ODDITY_WAIT 5000   /* ms between two looks at a partition that is odd */

/* Errors that say "not now", or of no clear kind, before an event is blamed; and hangs. */
#define TRIES 3
#define TRIES_THAT_HANG 2
#define BLAMES 8 /* that are remembered */

/* A lane's events in the eyes of those who ask whether we are ready. */
typedef enum
{
	TROUBLE_NONE,
	TROUBLE_OF_DAYS, /* events of other days wait, today's would be stored */
	TROUBLE_OF_ALL
} Trouble;

/* For what some event was to blame, and until when others are with it. */
typedef struct
{
	char reason[WORKER_ERROR_SIZE];
	int64 until; /* see clock.h */
} Blame;

typedef struct
{
	Lane id;
	int limit;		/* events in the next batch */
	int64 grows_at; /* the earliest time at which limit grows */
	int tries;		/* that failed, in a row */
	int64 retry_at; /* see clock.h */
	Trouble trouble;
	bool refuses_all; /* see evidence.h */
	char reason[WORKER_ERROR_SIZE];

	Blame blames[BLAMES];
	int next_blame;
} LaneState;

static Pair *pair;
static MemoryContext batch_context;
static LaneState lanes[NUM_LANES];
static TimeoutId drain_timeout_id;

/*
 * A statement that hangs (a lock, a synchronous standby) must not keep the
 * server from stopping: after drain_timeout the process ends as a backend would
 */
static void
drain_tick(void)
{
	pg_atomic_write_u64(&pair->alive_at, MonotonicNow());
	if (WorkerShutdownRequested && WorkerDrainTimeLeft() == 0)
	{
		ProcDiePending = true;
		InterruptPending = true;
	}
	enable_timeout_after(drain_timeout_id, DRAIN_TICK);
}

/*
 * Show what state the lanes are in
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
 * The lane's events stay staged. Those of other days are all that waits if the table would
 * take one of today.
 */
static void
note_trouble(LaneState *lane, BatchResult result, const ErrorData *error)
{
	lane->tries++;
	if (result == BATCH_GAVE_WAY && lane->id == LANE_TODAY && lane->tries < TRIES_THAT_HANG)
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

	/* a try that hung has been a pause itself */
	if (result != BATCH_GAVE_WAY || lane->id != LANE_TODAY)
		lane->retry_at = MonotonicAfter(
			MonotonicNow(), Min(FIRST_RETRY << Min(lane->tries - 1, 10), LONGEST_RETRY));
}

/*
 * Would the table take other events than the first one of the batch? Where the partition may
 * be at fault, those of its day: for a lock, and in the lane of today, which waits for no other
 * partition than today's.
 */
static Evidence
evidence_for(LaneState *lane, BatchResult result, const ErrorData *error)
{
	bool same_day = result == BATCH_GAVE_WAY || lane->id == LANE_TODAY;
	Evidence evidence = BatchEvidence(error, same_day);

	/* a day that has just begun has none */
	if (evidence == EVIDENCE_NONE && same_day && result != BATCH_GAVE_WAY)
		evidence = BatchEvidence(error, false);
	return evidence;
}

/*
 * The reason of that error, if it is known to be an event's fault; else NULL
 */
static const char *
blamed_already(LaneState *lane, const ErrorData *error)
{
	for (int i = 0; i < BLAMES; i++)
		if (MonotonicNow() < lane->blames[i].until && SiftIsReason(error, lane->blames[i].reason))
			return lane->blames[i].reason;
	return NULL;
}

/*
 * For a while others with the same error are not looked at one by one
 */
static void
note_blame(LaneState *lane, const ErrorData *error)
{
	Blame *blame = &lane->blames[lane->next_blame];

	lane->next_blame = (lane->next_blame + 1) % BLAMES;
	(void) ErrorDescribe(error, blame->reason);
	blame->until = MonotonicAfter(MonotonicNow(), BLAME_TIME);
}

/*
 * Is an error that says "not now" worth some tries before an event is blamed? Not if code of
 * the user's has refused one with it: it may raise any code.
 */
static bool
may_pass(LaneState *lane, BatchResult result, const ErrorData *error)
{
	return result == BATCH_NOT_NOW && lane->tries < TRIES && blamed_already(lane, error) == NULL;
}

/*
 * Is the one event of the batch to blame? Not for a partition that cannot be made, or that is
 * locked.
 */
static bool
is_to_blame(LaneState *lane, BatchResult result, const ErrorData *error)
{
	Evidence evidence;

	switch (result)
	{
		case BATCH_REFUSED:
			if (EvidenceOfConflict(error))
				return true;
			break;
		case BATCH_GAVE_WAY:
			if (lane->tries + 1 < TRIES_THAT_HANG ||
				(lane->id == LANE_OTHER_DAYS &&
				 MonotonicNow() < MonotonicAfter(BatchStagedAt(), fi_request_timeout)))
				return false;
			break;
		case BATCH_NOT_NOW:
			if (may_pass(lane, result, error))
				return false;
			break;
		default:
			return false;
	}

	evidence = evidence_for(lane, result, error);
	if (result == BATCH_REFUSED && evidence == EVIDENCE_NONE)
		return !EvidenceOfColumn(error);
	return evidence == EVIDENCE_OTHERS_PASS;
}

/*
 * Store one batch, or learn why it cannot be stored
 */
static void
flush_batch(LaneState *lane, int n)
{
	ErrorData *error;
	BatchResult result = BatchStore(&error);
	const char *blamed;

	if (result == BATCH_STORED)
	{
		note_success(lane);
		return;
	}
	if (result == BATCH_REFUSED && error->sqlerrcode == ERRCODE_INTERNAL_ERROR &&
		lane->tries < TRIES)
		result = BATCH_NOT_NOW;

	if (n > 1 && (result == BATCH_REFUSED || result == BATCH_NOT_NOW) &&
		(blamed = blamed_already(lane, error)) != NULL &&
		evidence_for(lane, result, error) == EVIDENCE_OTHERS_PASS && BatchSift(blamed))
	{
		note_success(lane);
		return;
	}
	if (n > 1 && result == BATCH_GAVE_WAY)
	{
		/* each try costs others a moment: few of them, to find one event among many */
		lane->limit = Max(n / 8, 1);
		lane->grows_at = MonotonicAfter(MonotonicNow(), BLAME_TIME);
		return;
	}
	if (n > 1 &&
		(result == BATCH_REFUSED || (result == BATCH_NOT_NOW && !may_pass(lane, result, error))))
	{
		lane->limit = n / 2;
		return;
	}
	/* less may fit where all of it did not: into the lock table, say */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES)
		lane->limit = Max(n / 2, 1);
	if (n == 1 && is_to_blame(lane, result, error))
	{
		/* what stood in its way may have gone while the others were tried */
		result = BatchStore(&error);
		if (result == BATCH_STORED)
		{
			note_success(lane);
			return;
		}
		if (is_to_blame(lane, result, error))
		{
			WorkerReportError(error, "The event is in fast_ingest.dead_letters.");
			note_blame(lane, error);
			error = BatchBury(error);
			if (error == NULL)
			{
				note_success(lane);
				return;
			}
			result = BATCH_NOT_NOW;
		}
	}
	note_trouble(lane, result, error);
}

/*
 * Is it the lane's turn, and is there something to do?
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
idle_wait(void)
{
	long wait = IDLE_WAIT;

	for (int i = 0; i < NUM_LANES; i++)
		if (lanes[i].tries > 0)
			wait = Min(wait, MonotonicLeft(MonotonicNow(), lanes[i].retry_at));
	return Max(wait, 1);
}

/*
 * After SIGTERM: may this process end? Not while a listener that was told to
 * end, too, still stages or waits for answers. One that was not will be there
 * for the next flusher; but its own signal may be on its way.
 */
static bool
drained(uint64 staged)
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
 * What a flusher does while there is nothing to store. Returns false when it shall look for
 * the extension again.
 */
static bool
rest(int64 *looked_at)
{
	static int64 odd_at = 0;

	WorkerWait(idle_wait());
	if (MonotonicNow() < MonotonicAfter(*looked_at, IDLE_WAIT))
		return true;
	/* a quiet moment, for statistics, and to see whether the extension is there */
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
	drain_timeout_id = RegisterTimeout(USER_TIMEOUT, drain_tick);
	enable_timeout_after(drain_timeout_id, DRAIN_TICK);
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
		if (WorkerShutdownRequested && (!attached || drained(PairStagedRecords(rings))))
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
			attached = rest(&looked_at);
	}
}
