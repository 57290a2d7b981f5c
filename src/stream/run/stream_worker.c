/*
 * stream_worker.c
 *
 * A stream worker: it reads which stream it serves, makes or acquires the replication slot (see
 * open_slot.c), and runs the cycle (see cycle.h).
 *
 * After an error of decoding the process ends, because its state cannot be trusted, and the
 * next one waits a little longer each time.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/extension_version.h"
#include "db/set_option.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "stream/run/cycle.h"
#include "stream/run/disk_limit.h"
#include "stream/run/open_slot.h"
#include "worker/wait_for_extension.h"
#include "worker/worker.h"

#define READ_TIME 60000		/* ms between two readings of the definition without a command */
#define EXTENSION_TIME 1000 /* ms between two looks while the extension is missing */
#define FAILED_TIME 5000	/* ms until a definition is read again that could not be read */
#define LONGEST_WAIT 500	/* ms between two looks at the lag while nothing happens */
#define LONGEST_REST 60000	/* ms of a new process after errors in a row */

/* There may be slots of streams that exist no more. */
static bool sweep_due = true;

typedef struct
{
	int number;
	bool found;
	Stream stream;
	Progress progress;
	Backfills *backfills;
	MemoryContext context;
} Reading;

static void
read_definition(void *arg)
{
	Reading *reading = arg;
	SavedUser user = ActAsRollupOwner();
	MemoryContext caller = MemoryContextSwitchTo(reading->context);

	reading->found = StreamRead(reading->number, &reading->stream);
	if (reading->found)
	{
		ProgressRead(reading->stream.id, &reading->progress);
		reading->backfills = BackfillsRead(&reading->stream);
	}
	MemoryContextSwitchTo(caller);
	ActAsCallerAgain(user);
}

/*
 * Drop slots of streams that exist no more. No stream can come to be meanwhile, whose slot
 * would not be in the list.
 */
static void
sweep_slots(void *arg)
{
	bool usable = *(bool *) arg;
	char version[EXTENSION_VERSION_SIZE];
	const char **names = NULL;
	uint64 n = 0;

	/* an older library that was installed by mistake must not drop what the right one needs */
	if (!usable && ExtensionVersion(version))
		return;
	if (usable)
	{
		SavedUser user = ActAsRollupOwner();

		/* a session that creates a stream may keep its transaction open */
		SetOption("lock_timeout", "2s", GUC_ACTION_LOCAL);
		(void) SpiRun("LOCK TABLE fast_ingest.stream_progress IN SHARE MODE", SPI_OK_UTILITY);
		PushActiveSnapshot(GetLatestSnapshot());
		/* a crash may have come between noting that a stream is lost and dropping its slot */
		n = SpiSelect("SELECT slot_name FROM fast_ingest.stream_progress WHERE lost_at IS NULL", 0,
					  0, NULL, NULL);
		PopActiveSnapshot();
		names = palloc(Max(n, 1) * sizeof(char *));
		for (uint64 i = 0; i < n; i++)
			names[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		ActAsCallerAgain(user);
	}
	if (SlotSweep(names, (int) n) > 0)
		ereport(LOG, (errmsg("fast_ingest has dropped the replication slots of streams that "
							 "exist no more")));
}

static bool
sweep(bool extension_usable)
{
	ErrorData *error = RunTransaction("looking for replication slots of streams that exist no more",
									  sweep_slots, &extension_usable);

	if (error != NULL)
		WorkerReportError(error, "It looks again later.");
	return error == NULL;
}

static void
close_sink(StreamRun *run)
{
	if (run->target.sink != NULL)
		run->target.sink->class->close(run->target.sink);
	run->target.sink = NULL;
	run->target.probed = run->target.known = false;
}

/*
 * Serve no stream. With drop its slot is dropped.
 */
static void
forget_stream(StreamRun *run, bool drop)
{
	StreamRunEnd(run, drop);
	close_sink(run);
	if (run->backfills != NULL)
		BackfillsFree(run->backfills);
	run->backfills = NULL;
	if (run->definition != NULL)
		MemoryContextDelete(run->definition);
	run->definition = NULL;
	run->serves = false;
}

static void
serve_stream(StreamRun *run, const Reading *reading)
{
	run->serves = true;
	run->definition = reading->context;
	run->stream = reading->stream;
	run->progress = reading->progress;
	run->backfills = reading->backfills;
	run->halving_allowed = run->suspects_target = run->accepted_lately = false;
	run->put_aside = 0;
	(void) WalFlushPosition(&run->timeline);
	MemoryContextSwitchTo(run->definition);
	run->stream.epoch = pstrdup(run->progress.epoch);
	WalTimelines(&run->stream);
	MemoryContextSwitchTo(TopMemoryContext);
	TargetResume(&run->target);
	StreamSlotServe(run->slot, run->stream.id, run->stream.name, StreamKindNames[run->stream.kind]);
	pg_atomic_write_u64(&run->slot->retained_limit, (uint64) run->stream.max_retained_wal);
}

/*
 * Compare what was read with what is served: the same stream goes on where it is
 */
static void
take_reading(StreamRun *run, Reading *reading, bool resumed)
{
	bool is_same = run->serves && reading->found && run->stream.id == reading->stream.id &&
				   strcmp(run->progress.epoch, reading->progress.epoch) == 0 &&
				   run->progress.exists == reading->progress.exists &&
				   run->progress.lost == reading->progress.lost;

	if (!is_same)
	{
		/* a slot that is still held belongs to a stream or an epoch that is over */
		bool served = run->serves;

		forget_stream(run, true);
		if (reading->found)
			serve_stream(run, reading);
		else
		{
			MemoryContextDelete(reading->context);
			StreamSlotServe(run->slot, 0, "", "");
			StreamSlotSetState(run->slot, STREAM_NONE, "");
		}
		sweep_due |= served;
		return;
	}
	BackfillsFree(run->backfills);
	run->backfills = reading->backfills;
	run->stream.paused = reading->stream.paused;
	if (!resumed)
	{
		MemoryContextDelete(reading->context);
		return;
	}
	/* whoever resumes may have changed a secret's file, or the target */
	close_sink(run);
	MemoryContextDelete(run->definition);
	run->definition = reading->context;
	MemoryContextSwitchTo(run->definition);
	reading->stream.epoch = pstrdup(run->progress.epoch);
	WalTimelines(&reading->stream);
	MemoryContextSwitchTo(TopMemoryContext);
	run->stream = reading->stream;
	run->halving_allowed = run->suspects_target;
	TargetResume(&run->target);
}

/*
 * Read the definition. Returns in how many milliseconds it is to be read again at the latest.
 */
static long
read_stream(StreamRun *run, bool resumed)
{
	static bool attached = true;
	Reading reading = {.number = run->number};
	ErrorData *error;

	if (!ExtensionFind(&run->slot->worker))
	{
		if (pg_atomic_read_u32(&run->slot->worker.state) != WORKER_WAITING)
			return EXTENSION_TIME;
		if (attached)
		{
			/* the slot is dropped by sweep(), if there is no extension rather than one of a later
			 * version */
			forget_stream(run, false);
			StreamSlotServe(run->slot, 0, "", "");
			StreamSlotSetState(run->slot, STREAM_NONE, "");
			attached = !sweep(false);
		}
		sweep_due = true;
		return EXTENSION_TIME;
	}
	attached = true;
	reading.context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest stream", ALLOCSET_DEFAULT_SIZES);
	error = RunTransaction("reading the definition of a stream", read_definition, &reading);
	if (error != NULL)
	{
		MemoryContextDelete(reading.context);
		WorkerReportError(error, "It reads the definition of its stream again.");
		StreamSlotSetError(run->slot, error->message);
		StreamSlotSetState(run->slot, STREAM_RETRYING, error->message);
		return FAILED_TIME;
	}
	WorkerSetState(&run->slot->worker, WORKER_RUNNING, NULL);
	take_reading(run, &reading, resumed);
	if (sweep_due && sweep(true))
		sweep_due = false;
	return sweep_due ? FAILED_TIME : READ_TIME;
}

/*
 * Open the sink. False: the definition cannot be used now, for example for a file is missing.
 */
static bool
open_sink(StreamRun *run)
{
	MemoryContext caller;
	ErrorData *volatile error = NULL;

	if (run->target.sink != NULL)
		return true;
	if (!TargetIsDue(&run->target))
		return false;
	caller = MemoryContextSwitchTo(run->definition);
	PG_TRY();
	{
		run->target.sink = SinkOpen(&run->stream);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	if (error != NULL)
		TargetReport(&run->target, error);
	return error == NULL;
}

/*
 * Do what there is to do for the stream. Returns the milliseconds until there may be more.
 */
static long
serve(StreamRun *run)
{
	long wait = LONGEST_WAIT;

	if (run->progress.lost)
	{
		StreamSlotSetState(run->slot, STREAM_LOST, run->progress.lost_reason);
		return LONGEST_WAIT;
	}
	if (run->decoder == NULL)
		OpenSlot(run);
	if (run->decoder == NULL)
		return LONGEST_WAIT;
	/* before decoding, which may end the process each time at the same record */
	DiskLimitWatch(run);
	if (run->decoder == NULL)
		return LONGEST_WAIT;
	if (run->stream.paused)
	{
		if (run->dirty)
			(void) StreamRunWrite(run);
		StreamSlotSetState(run->slot, STREAM_PAUSED, "fi_resume_stream() lets it go on");
	}
	else if (open_sink(run))
	{
		/* Min() would take two steps */
		long step = CycleStep(run);

		wait = Min(wait, step);
	}
	return wait;
}

/*
 * After errors that have ended the process: rest, but not from commands
 */
static void
rest(StreamRun *run)
{
	uint32 failures = pg_atomic_read_u32(&run->slot->failures);
	uint32 commands = pg_atomic_read_u32(&run->slot->commands);
	int64 until;

	if (failures == 0)
		return;
	until = MonotonicAfter(MonotonicNow(), Min(1000 << Min(failures, 10), LONGEST_REST));
	StreamSlotSetState(run->slot, STREAM_RETRYING, run->slot->worker.last_error);
	while (MonotonicNow() < until && pg_atomic_read_u32(&run->slot->commands) == commands)
	{
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();
		WorkerWait(Min(LONGEST_WAIT, MonotonicLeft(MonotonicNow(), until)));
	}
}

static void
run_for_ever(StreamRun *run)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest stream work", ALLOCSET_DEFAULT_SIZES);
	uint32 resumes = pg_atomic_read_u32(&run->slot->resumes);
	int64 read_at = 0;

	for (;;)
	{
		long wait = LONGEST_WAIT;
		uint32 commands = pg_atomic_read_u32(&run->slot->commands);

		/* before interrupts are served, which would make it a FATAL error */
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		if (commands != run->target.commands_seen || MonotonicNow() >= read_at)
		{
			uint32 seen = pg_atomic_read_u32(&run->slot->resumes);

			run->target.commands_seen = commands;
			read_at = MonotonicAfter(MonotonicNow(), read_stream(run, seen != resumes));
			resumes = seen;
			MemoryContextSwitchTo(context);
		}
		if (run->serves)
			wait = serve(run);
		wait = Min(wait, MonotonicLeft(MonotonicNow(), read_at));
		if (!WorkerShutdownRequested && wait > 0)
			WorkerWait(wait);
	}
}

void
StreamMain(Datum arg)
{
	static StreamRun run;

	run.number = DatumGetInt32(arg);
	run.slot = run.target.slot = &StreamSlots[run.number];
	WorkerEndAtOnce();
	WorkerStart(&run.slot->worker, fi_database);
	ereport(LOG,
			(errmsg("%s started for database \"%s\"", MyBgworkerEntry->bgw_name, fi_database)));
	run.spool = SpoolCreate();
	FlightInit(&run.flight);
	run.target.commands_seen = pg_atomic_read_u32(&run.slot->commands) - 1;
	PG_TRY();
	{
		rest(&run);
		run_for_ever(&run);
	}
	PG_CATCH();
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
		ErrorData *error = CopyErrorData();

		LWLockReleaseAll();
		StreamSlotSetError(run.slot, error->message ? error->message : "unknown error");
		StreamSlotSetState(run.slot, STREAM_RETRYING, run.slot->worker.last_error);
		pg_atomic_fetch_add_u32(&run.slot->failures, 1);
		MemoryContextSwitchTo(caller);
		PG_RE_THROW();
	}
	PG_END_TRY();
}
