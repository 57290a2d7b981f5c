/*
 * slot.c
 *
 * Replication slots by name: looking at them, making and dropping them.
 */
#include "postgres.h"

#include "stream/decode/decoder_private.h"

#include "access/xlog.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "storage/spin.h"
#include "storage/standby.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/compat.h"
#include "db/transaction.h"
#include "worker/worker.h"

/* the names of all slots of streams begin so */
#define SLOT_PREFIX "fast_ingest_"

#define CREATION_WAIT 100 /* ms between two looks at transactions that are waited for */

static const char *
describe_invalid(const ReplicationSlotPersistentData *data)
{
	if (SlotLostItsRows(data))
		return "rows that it needs have been removed";
	if (SlotLostItsWalLevel(data))
		return "wal_level was below logical";
	if (SlotWasIdle(data))
		return "it was not used for longer than idle_replication_slot_timeout";
	return "WAL that it needs has been removed";
}

/*
 * Copy what is stored of a slot, and who holds it. False if there is none.
 */
static bool
copy_slot(const char *slot_name, ReplicationSlotPersistentData *data, pid_t *holder)
{
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(slot_name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		*data = slot->data;
		*holder = slot->active_pid;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return slot != NULL;
}

void
SlotLookAt(const char *slot_name, SlotLook *look)
{
	ReplicationSlotPersistentData data;
	pid_t holder;

	memset(look, 0, sizeof(*look));
	look->condition = SLOT_MISSING;
	if (!copy_slot(slot_name, &data, &holder))
	{
		strlcpy(look->reason, "there is no such slot", sizeof(look->reason));
		return;
	}
	look->condition = SLOT_INVALID;
	look->confirmed = data.confirmed_flush;
	look->restart = data.restart_lsn;
	if (data.database != MyDatabaseId || strcmp(NameStr(data.plugin), DECODER_PLUGIN) != 0)
		strlcpy(look->reason, "it is of another database or for another plugin",
				sizeof(look->reason));
	else if (SlotIsInvalidated(&data) || XLogRecPtrIsInvalid(data.restart_lsn))
		strlcpy(look->reason, describe_invalid(&data), sizeof(look->reason));
	else
		look->condition = SLOT_USABLE;
}

/* A slot in the making. */
typedef struct
{
	const char *slot_name;
	SlotWait wait;
	void *wait_arg;
	bool given_up;
	XLogRecPtr start; /* invalid until the slot is kept */
	MemoryContext memory;
	LogicalDecodingContext *context;
} Creation;

static void
begin_slot(void *arg)
{
	Creation *creation = arg;
	MemoryContext caller;

	CheckLogicalDecodingRequirements();
	CreateLogicalSlot(creation->slot_name);
	caller = MemoryContextSwitchTo(creation->memory);
	creation->context = CreateInitDecodingContext(DECODER_PLUGIN, NIL, false, InvalidXLogRecPtr,
												  DECODER_READER, NULL, NULL, NULL);
	MemoryContextSwitchTo(caller);
}

/*
 * Wait a moment; true if the caller has had enough
 */
static bool
wait_on(Creation *creation, TransactionId oldest)
{
	if (!creation->given_up)
		creation->given_up = WorkerShutdownRequested || !creation->wait(creation->wait_arg, oldest);
	if (!creation->given_up)
	{
		CHECK_FOR_INTERRUPTS();
		WorkerWait(CREATION_WAIT);
	}
	return creation->given_up;
}

/*
 * Before PostgreSQL processes a list of running transactions, wait until they have ended. It
 * would do so itself, without telling anybody. False if given up.
 */
static bool
wait_for_transactions(XLogReaderState *reader, void *arg)
{
	Creation *creation = arg;
	xl_running_xacts *running;

	if (XLogRecGetRmid(reader) != RM_STANDBY_ID ||
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) != XLOG_RUNNING_XACTS)
		return true;
	running = (xl_running_xacts *) XLogRecGetData(reader);
	for (;;)
	{
		TransactionId oldest = InvalidTransactionId;

		for (int i = 0; i < running->xcnt; i++)
			if (TransactionIdIsInProgress(running->xids[i]) &&
				(!TransactionIdIsValid(oldest) || TransactionIdPrecedes(running->xids[i], oldest)))
				oldest = running->xids[i];
		if (!TransactionIdIsValid(oldest))
			return true;
		if (wait_on(creation, oldest))
			return false;
	}
}

/*
 * Read WAL until decoding could begin, and keep the slot; or give up
 */
static void
find_start(Creation *creation)
{
	LogicalDecodingContext *context = creation->context;

	XLogBeginRead(context->reader, context->slot->data.restart_lsn);
	while (!DecodingContextReady(context))
	{
		if (DecoderReadRecord(context, WalFlushPosition(NULL), wait_for_transactions, creation))
			continue;
		if (creation->given_up)
			return;
		/* the next list of running transactions */
		XLogFlush(LogStandbySnapshot());
		if (wait_on(creation, InvalidTransactionId))
			return;
	}
	creation->start = context->reader->EndRecPtr;
	SpinLockAcquire(&context->slot->mutex);
	context->slot->data.confirmed_flush = creation->start;
	SpinLockRelease(&context->slot->mutex);
	ReplicationSlotPersist();
}

XLogRecPtr
SlotCreate(const char *slot_name, SlotWait wait, void *arg)
{
	Creation creation = {.slot_name = slot_name, .wait = wait, .wait_arg = arg};
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error;

	creation.memory =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest new slot", ALLOCSET_DEFAULT_SIZES);
	DecoderAllowPlugin(true);
	error = RunTransaction("making a replication slot", begin_slot, &creation);
	if (error == NULL)
	{
		PG_TRY();
		{
			DecoderCheckHorizon();
			find_start(&creation);
			FreeDecodingContext(creation.context);
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(caller);
			error = CopyErrorData();
			FlushErrorState();
			LWLockReleaseAll();
			CurrentResourceOwner = owner;
		}
		PG_END_TRY();
	}
	/* drops it unless it has been made persistent */
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	DecoderAllowPlugin(false);
	MemoryContextDelete(creation.memory);
	if (error != NULL)
		ReThrowError(error);
	return creation.start;
}

void
SlotDropByName(const char *slot_name)
{
	ReplicationSlotPersistentData data;
	pid_t holder;

	if (copy_slot(slot_name, &data, &holder))
		ReplicationSlotDrop(slot_name, true);
}

static bool
is_wanted(const char *slot_name, const char *const *wanted, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(slot_name, wanted[i]) == 0)
			return true;
	return false;
}

int
SlotSweep(const char *const *wanted, int n)
{
	int dropped = 0;

	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		ReplicationSlotPersistentData data = {0};
		bool is_idle = false;

		LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
		if (slot->in_use)
		{
			SpinLockAcquire(&slot->mutex);
			data = slot->data;
			is_idle = slot->active_pid == 0;
			SpinLockRelease(&slot->mutex);
		}
		LWLockRelease(ReplicationSlotControlLock);
		if (!is_idle || data.database != MyDatabaseId || data.persistency != RS_PERSISTENT ||
			strcmp(NameStr(data.plugin), DECODER_PLUGIN) != 0 ||
			strncmp(NameStr(data.name), SLOT_PREFIX, strlen(SLOT_PREFIX)) != 0 ||
			is_wanted(NameStr(data.name), wanted, n))
			continue;
		ReplicationSlotDrop(NameStr(data.name), true);
		ereport(LOG, (errmsg("dropped replication slot \"%s\", which belongs to no stream",
							 NameStr(data.name))));
		dropped++;
	}
	return dropped;
}
