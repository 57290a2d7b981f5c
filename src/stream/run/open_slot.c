/*
 * open_slot.c
 *
 * A table can be copied, by a dump or a base backup, and a copy must not post. So a slot is
 * made only when a command in shared memory says so. A stream whose slot is missing, unusable,
 * or further than the stream's own position is lost: nothing is posted until a person decides.
 */
#include "postgres.h"

#include "stream/run/open_slot.h"

#include "storage/ipc.h"

#include "db/act_as_owner.h"
#include "worker/worker.h"

/*
 * While the slot is being made: say what it waits for. A command ends the wait.
 */
static bool
wait_for_slot(void *arg, TransactionId oldest)
{
	StreamRun *run = arg;
	char detail[WORKER_ERROR_SIZE];

	if (WorkerShutdownRequested)
		proc_exit(1);
	(void) WorkerHandleInterrupts();
	snprintf(detail, sizeof(detail), "for transaction %u to end, which was there before the stream",
			 oldest);
	StreamSlotSetState(run->slot, STREAM_WAITING, detail);
	return pg_atomic_read_u32(&run->slot->commands) == run->target.commands_seen;
}

/*
 * Make the slot. False: it has to be tried again.
 */
static bool
make_slot(StreamRun *run)
{
	uint32 id = (uint32) run->stream.id;
	ErrorData *error;
	XLogRecPtr start;

	StreamSlotSetState(run->slot, STREAM_WAITING, "for its replication slot");
	SlotDropByName(run->progress.slot_name);
	start = SlotCreate(run->progress.slot_name, wait_for_slot, run);
	if (start == InvalidXLogRecPtr)
		return false;
	error = ProgressStart(run->stream.id, &run->progress, start);
	if (error != NULL)
	{
		TargetReport(&run->target, error);
		return false;
	}
	(void) pg_atomic_compare_exchange_u32(&run->slot->may_create_slot, &id, 0);
	ereport(LOG, (errmsg("stream \"%s\" begins at %X/%X, with replication slot \"%s\"",
						 run->stream.name, LSN_FORMAT_ARGS(start), run->progress.slot_name)));
	return true;
}

/*
 * Look whether the slot is what the stream left. "": it is; else why it is not.
 */
static void
check_slot(const StreamRun *run, char reason[WORKER_ERROR_SIZE])
{
	SlotLook look;

	reason[0] = '\0';
	SlotLookAt(run->progress.slot_name, &look);
	if (look.condition == SLOT_MISSING)
		snprintf(reason, WORKER_ERROR_SIZE,
				 "its replication slot \"%s\" does not exist: it was dropped, or this server is a "
				 "copy of another one",
				 run->progress.slot_name);
	else if (look.condition == SLOT_INVALID)
		snprintf(reason, WORKER_ERROR_SIZE, "its replication slot is unusable: %s", look.reason);
	else if (look.confirmed > run->progress.confirmed)
		snprintf(reason, WORKER_ERROR_SIZE,
				 "its replication slot was moved to %X/%X by somebody else: the stream had "
				 "confirmed %X/%X",
				 LSN_FORMAT_ARGS(look.confirmed), LSN_FORMAT_ARGS(run->progress.confirmed));
}

static void
take_cut(void *arg)
{
	StreamRun *run = arg;
	SavedUser user = ActAsRollupOwner();

	BackfillsTakeCut(run->backfills);
	BackfillsFree(run->backfills);
	run->backfills = NULL;
	run->backfills = BackfillsRead(&run->stream);
	ActAsCallerAgain(user);
}

static bool
wants_event(void *arg, const StreamEvent *event, TransactionId xid)
{
	const StreamRun *run = arg;

	return StreamWants(&run->stream, event) && !BackfillsOwn(run->backfills, event, xid);
}

static void
encode_event(void *arg, const StreamEvent *event, StringInfo line)
{
	const StreamRun *run = arg;

	run->target.sink->class->encode(run->target.sink, event, line);
}

void
OpenSlot(StreamRun *run)
{
	DecoderConfig config = {.slot_name = run->progress.slot_name,
							.done_lsn = run->progress.done_lsn,
							.done_n = run->progress.done_n,
							.wants = wants_event,
							.encode = encode_event,
							.arg = run,
							.ignored_changes = &run->slot->ignored_changes};
	char reason[WORKER_ERROR_SIZE];

	if (!run->progress.exists)
	{
		StreamSlotSetState(run->slot, STREAM_LOST, STREAM_NO_POSITION);
		return;
	}
	if (!run->progress.started)
	{
		if (pg_atomic_read_u32(&run->slot->may_create_slot) != (uint32) run->stream.id)
		{
			StreamRunLose(
				run, "the server was restarted or copied before its replication slot was made");
			return;
		}
		if (!make_slot(run))
			return;
	}
	check_slot(run, reason);
	if (reason[0] != '\0')
	{
		StreamRunLose(run, reason);
		return;
	}
	if (BackfillsCutIsDue(run->backfills) && run->progress.intent.id[0] == '\0')
	{
		ErrorData *error = RunTransaction("taking the cut of a backfill", take_cut, run);

		if (error != NULL)
			ReThrowError(error);
	}
	run->decoder = DecoderOpen(&config, run->spool);
	StreamRunBegin(run);
}
