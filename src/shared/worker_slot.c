/*
 * worker_slot.c
 *
 * Writing and reading the slots of workers.
 */
#include "postgres.h"

#include "shared/worker_slot.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

WorkerSlot *MyWorkerSlot = NULL;

void
WorkerSlotInit(WorkerSlot *slot, LWLock *lock)
{
	memset(slot, 0, sizeof(*slot));
	pg_atomic_init_u32(&slot->state, WORKER_STOPPED);
	pg_atomic_init_u32(&slot->told_to_end, 0);
	pg_atomic_init_u32(&slot->failed_starts, 0);
	pg_atomic_init_u64(&slot->starts, 0);
	slot->lock = lock;
	strlcpy(slot->reason, "it has not been started: is max_worker_processes large enough?",
			WORKER_ERROR_SIZE);
}

/*
 * Leave the slot, whichever way the process ends
 */
static void
leave_slot(int code, Datum arg)
{
	WorkerSlot *slot = MyWorkerSlot;

	if (slot == NULL)
		return;
	MyWorkerSlot = NULL;
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->latch = NULL;
		slot->pid = 0;
		slot->since = GetCurrentTimestamp();
		strlcpy(slot->reason, "it is being restarted", WORKER_ERROR_SIZE);
		pg_atomic_write_u32(&slot->state, WORKER_STOPPED);
	}
	LWLockRelease(slot->lock);
}

void
WorkerSlotEnter(WorkerSlot *slot)
{
	before_shmem_exit(leave_slot, (Datum) 0);
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	pg_atomic_write_u64(&slot->starts, pg_atomic_read_u64(&slot->starts) + 1);
	pg_atomic_write_u32(&slot->told_to_end, 0);
	LWLockRelease(slot->lock);
	MyWorkerSlot = slot;
	WorkerSetState(slot, WORKER_STARTING, "it is starting");
}

void
WorkerSetState(WorkerSlot *slot, WorkerState state, const char *reason)
{
	reason = reason ? reason : "";
	if (pg_atomic_read_u32(&slot->state) == (uint32) state && strcmp(slot->reason, reason) == 0)
		return;
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&slot->state) != (uint32) state)
		slot->since = GetCurrentTimestamp();
	ErrorCopyText(slot->reason, reason, WORKER_ERROR_SIZE);
	pg_atomic_write_u32(&slot->state, state);
	LWLockRelease(slot->lock);
}

void
WorkerSetError(WorkerSlot *slot, const char *message)
{
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	ErrorCopyText(slot->last_error, message, WORKER_ERROR_SIZE);
	LWLockRelease(slot->lock);
}

void
WorkerSetRetrying(WorkerSlot *slot, const ErrorData *error)
{
	char reason[WORKER_ERROR_SIZE];

	(void) ErrorDescribe(error, reason);
	WorkerSetState(slot, WORKER_RETRYING, reason);
}

void
WorkerReason(WorkerSlot *slot, char reason[WORKER_ERROR_SIZE])
{
	LWLockAcquire(slot->lock, LW_SHARED);
	strlcpy(reason, slot->reason, WORKER_ERROR_SIZE);
	LWLockRelease(slot->lock);
}

void
WorkerWake(WorkerSlot *slot)
{
	Latch *latch = *(Latch *volatile *) &slot->latch;

	if (latch != NULL)
		SetLatch(latch);
}

void
WorkerTerminate(WorkerSlot *slot)
{
	LWLockAcquire(slot->lock, LW_SHARED);
	if (slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(slot->lock);
}
