/*
 * query_slot.c
 *
 * The changes of state of a query slot; see query_slot.h.
 */
#include "postgres.h"

#include "shared/query_slot.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "base/settings.h"

QuerySlot *QuerySlots = NULL;
QuerySlot *ExportSlots = NULL;

static Size
compute_slots_size(void)
{
	return mul_size(2 * fi_query_workers, sizeof(QuerySlot));
}

static void
attach_slots(void *memory, LWLock *lock, bool is_new)
{
	QuerySlots = memory;
	ExportSlots = QuerySlots + fi_query_workers;
	if (!is_new)
		return;
	for (int i = 0; i < 2 * fi_query_workers; i++)
	{
		QuerySlot *slot = &QuerySlots[i];

		memset(slot, 0, offsetof(QuerySlot, buffer));
		WorkerSlotInit(&slot->worker, lock);
		pg_atomic_init_u32(&slot->state, SLOT_FREE);
	}
}

const SharedPart QuerySlotsPart = {"fast_ingest queries", NULL, compute_slots_size, attach_slots};

WorkerSlot *
QuerySlotWorker(QuerySlot *slot)
{
	return &QuerySlots[(slot - QuerySlots) % fi_query_workers].worker;
}

/*
 * Change the state; false if it is not the one that the caller expects
 */
static bool
change_state(QuerySlot *slot, QuerySlotState from, QuerySlotState to)
{
	uint32 expected = from;

	return pg_atomic_compare_exchange_u32(&slot->state, &expected, to);
}

bool
QuerySlotAsk(QuerySlot *slot, QueryKind kind, int64 deadline, const char *parameters, size_t len)
{
	Assert(len <= QUERY_BUFFER_SIZE);
	if (!change_state(slot, SLOT_FREE, SLOT_CLAIMED))
		return false;
	slot->asker = MyLatch;
	slot->kind = kind;
	slot->deadline = deadline;
	slot->len = len;
	if (len > 0)
		memcpy(slot->buffer, parameters, len);
	(void) change_state(slot, SLOT_CLAIMED, SLOT_ASKED);
	WorkerWake(QuerySlotWorker(slot));
	return true;
}

bool
QuerySlotTake(QuerySlot *slot)
{
	if (change_state(slot, SLOT_LAST, SLOT_FREE))
		return true;
	if (!change_state(slot, SLOT_PIECE, SLOT_TAKEN))
		return false;
	WorkerWake(QuerySlotWorker(slot));
	return true;
}

void
QuerySlotAbandon(QuerySlot *slot)
{
	for (;;)
	{
		QuerySlotState state = QuerySlotReadState(slot);

		switch (state)
		{
			case SLOT_FREE:
			case SLOT_ABANDONED:
				return;
			case SLOT_CLAIMED:
			case SLOT_ASKED:
			case SLOT_LAST:
			case SLOT_FAILED:
				if (change_state(slot, state, SLOT_FREE))
					return;
				break;
			case SLOT_RUNNING:
			case SLOT_PIECE:
			case SLOT_TAKEN:
				if (change_state(slot, state, SLOT_ABANDONED))
				{
					WorkerWake(QuerySlotWorker(slot));
					return;
				}
				break;
		}
	}
}

bool
QuerySlotBegin(QuerySlot *slot)
{
	return change_state(slot, SLOT_ASKED, SLOT_RUNNING);
}

bool
QuerySlotPut(QuerySlot *slot, bool last)
{
	Latch *asker = slot->asker;
	QuerySlotState next = last ? SLOT_LAST : SLOT_PIECE;

	if (!change_state(slot, SLOT_RUNNING, next) && !change_state(slot, SLOT_TAKEN, next))
	{
		(void) QuerySlotClear(slot);
		return false;
	}
	SetLatch(asker);
	return true;
}

bool
QuerySlotClear(QuerySlot *slot)
{
	return change_state(slot, SLOT_ABANDONED, SLOT_FREE);
}

void
QuerySlotLeave(QuerySlot *slot)
{
	for (;;)
	{
		QuerySlotState state = QuerySlotReadState(slot);
		Latch *asker = slot->asker;

		switch (state)
		{
			case SLOT_FREE:
			case SLOT_CLAIMED:
			case SLOT_LAST:
			case SLOT_FAILED:
				return;
			case SLOT_ABANDONED:
				if (QuerySlotClear(slot))
					return;
				break;
			case SLOT_ASKED:
			case SLOT_RUNNING:
			case SLOT_PIECE:
			case SLOT_TAKEN:
				if (change_state(slot, state, SLOT_FAILED))
				{
					SetLatch(asker);
					return;
				}
				break;
		}
	}
}
