/*
 * stream_slot.c
 *
 * The shared memory of streams.
 */
#include "postgres.h"

#include "shared/stream_slot.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

StreamSlot *StreamSlots = NULL;

static Size
compute_slots_size(void)
{
	return Max(fi_max_streams, 1) * sizeof(StreamSlot);
}

/*
 * Set the counters to 0; init makes them usable first
 */
static void
reset_counters(StreamSlot *slot, bool init)
{
	pg_atomic_uint64 *counters[] = {
		&slot->events_sent,	   &slot->bytes_sent,	&slot->batches_sent,	&slot->retries,
		&slot->doubts,		   &slot->dead_letters, &slot->ignored_changes, &slot->lag_events,
		&slot->lag_bytes,	   &slot->sent_lsn,		&slot->oldest_unsent,	&slot->retained_bytes,
		&slot->retained_limit, &slot->last_sent,	&slot->backfill_left};

	for (int i = 0; i < (int) lengthof(counters); i++)
		if (init)
			pg_atomic_init_u64(counters[i], 0);
		else
			pg_atomic_write_u64(counters[i], 0);
}

static void
attach_slots(void *memory, LWLock *lock, bool is_new)
{
	StreamSlots = memory;
	if (!is_new)
		return;
	memset(StreamSlots, 0, compute_slots_size());
	for (int i = 0; i < fi_max_streams; i++)
	{
		StreamSlot *slot = &StreamSlots[i];

		WorkerSlotInit(&slot->worker, lock);
		pg_atomic_init_u32(&slot->state, STREAM_NONE);
		pg_atomic_init_u32(&slot->commands, 0);
		pg_atomic_init_u32(&slot->may_create_slot, 0);
		pg_atomic_init_u32(&slot->resumes, 0);
		pg_atomic_init_u32(&slot->failures, 0);
		reset_counters(slot, true);
	}
}

const SharedPart StreamSlotsPart = {"fast_ingest streams", NULL, compute_slots_size, attach_slots};

bool
StreamSlotServed(StreamSlot *slot, StreamServed *served)
{
	LWLockAcquire(slot->worker.lock, LW_SHARED);
	memcpy(served->name, slot->name, sizeof(served->name));
	memcpy(served->kind, slot->kind, sizeof(served->kind));
	served->last_error_at = slot->last_error_at;
	LWLockRelease(slot->worker.lock);
	return served->name[0] != '\0';
}

const char *
StreamStateName(StreamState state)
{
	static const char *const names[NUM_STREAM_STATES] = {"none",   "waiting", "running", "retrying",
														 "paused", "blocked", "lost"};

	return names[state];
}

void
StreamSlotCommand(StreamSlot *slot)
{
	pg_atomic_fetch_add_u32(&slot->commands, 1);
	WorkerWake(&slot->worker);
}

/* What a transaction has to tell a worker when it commits. */
typedef struct
{
	int worker;
	int32 may_create_slot;
	bool resume;
	SubTransactionId subtransaction;
} Command;

static List *commands = NIL; /* of Command, in TopTransactionContext */

static void
give_command(const Command *command)
{
	for (int i = 0; i < fi_max_streams; i++)
	{
		StreamSlot *slot = &StreamSlots[i];

		if (command->worker != -1 && command->worker != i)
			continue;
		if (command->may_create_slot != 0)
			pg_atomic_write_u32(&slot->may_create_slot, (uint32) command->may_create_slot);
		if (command->resume)
			pg_atomic_fetch_add_u32(&slot->resumes, 1);
		StreamSlotCommand(slot);
	}
}

static void
end_transaction(XactEvent event, void *arg)
{
	ListCell *cell;

	if (commands == NIL)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot PREPARE a transaction that has changed streams")));
	if (event == XACT_EVENT_COMMIT)
		foreach (cell, commands)
			give_command(lfirst(cell));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		commands = NIL;
}

/*
 * A savepoint that is rolled back takes its commands with it
 */
static void
end_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	ListCell *cell;

	foreach (cell, commands)
	{
		Command *command = lfirst(cell);

		if (command->subtransaction != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			command->subtransaction = parent;
		else if (event == SUBXACT_EVENT_ABORT_SUB)
			commands = foreach_delete_current (commands, cell);
	}
}

void
StreamCommandAtCommit(int worker, int32 may_create_slot, bool resume)
{
	static bool registered = false;
	MemoryContext caller;
	Command *command;

	if (StreamSlots == NULL || worker >= fi_max_streams)
		return;
	if (!registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
	}
	registered = true;
	caller = MemoryContextSwitchTo(TopTransactionContext);
	command = palloc(sizeof(Command));
	*command = (Command){worker, may_create_slot, resume, GetCurrentSubTransactionId()};
	commands = lappend(commands, command);
	MemoryContextSwitchTo(caller);
}

void
StreamSlotSetState(StreamSlot *slot, StreamState state, const char *detail)
{
	if (pg_atomic_read_u32(&slot->state) == (uint32) state && strcmp(slot->detail, detail) == 0)
		return;
	LWLockAcquire(slot->worker.lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&slot->state) != (uint32) state)
		slot->state_since = GetCurrentTimestamp();
	ErrorCopyText(slot->detail, detail, WORKER_ERROR_SIZE);
	pg_atomic_write_u32(&slot->state, state);
	LWLockRelease(slot->worker.lock);
}

void
StreamSlotSetError(StreamSlot *slot, const char *message)
{
	WorkerSetError(&slot->worker, message);
	LWLockAcquire(slot->worker.lock, LW_EXCLUSIVE);
	slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(slot->worker.lock);
}

void
StreamSlotServe(StreamSlot *slot, int32 id, const char *name, const char *kind)
{
	/* ids begin anew when the extension is created again */
	if (slot->stream_id == id && strcmp(slot->name, name) == 0 && strcmp(slot->kind, kind) == 0)
		return;
	LWLockAcquire(slot->worker.lock, LW_EXCLUSIVE);
	slot->stream_id = id;
	strlcpy(slot->name, name, sizeof(slot->name));
	strlcpy(slot->kind, kind, sizeof(slot->kind));
	slot->guarantee[0] = '\0';
	slot->worker.last_error[0] = '\0';
	slot->last_error_at = 0;
	reset_counters(slot, false);
	LWLockRelease(slot->worker.lock);
}
