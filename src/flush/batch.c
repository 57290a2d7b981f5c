/*
 * batch.c
 *
 * From staged records to rows. The tuples of a batch are shown to SQL as a
 * relation named "staged" (an ephemeral named relation, as the transition
 * tables of triggers are), so that one INSERT ... SELECT stores them all and
 * no value is turned into text on the way.
 *
 * What a commit changes in shared memory is prepared before and done in a
 * transaction callback at the moment of commit: a flusher that dies afterwards
 * does not store the batch again.
 */
#include "postgres.h"

#include "flush/batch.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "catalog/pg_extension.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "event/tuple.h"
#include "flush/conflicts.h"
#include "flush/dead_letter.h"
#include "flush/key_order.h"
#include "flush/partition.h"
#include "flush/transaction.h"
#include "monotonic.h"
#include "settings.h"
#include "spi.h"
#include "worker.h"

/* What one transaction may hold of memory and touch of partitions. */
#define MAX_BATCH_BYTES (16 * 1024 * 1024)
#define MAX_BATCH_DAYS 64
/* Partitions made before events are stored again: others wait behind this batch. */
#define MAX_PARTITIONS_MADE 8

/* Batches that check for conflicts after one that met an event stored already. */
#define CAREFUL_BATCHES 64

#define INSERT_STAGED \
	"INSERT INTO fast_ingest.events (" EVENT_COLUMNS ") SELECT " EVENT_COLUMNS " FROM staged"
#define INSERT_CAREFULLY INSERT_STAGED " ON CONFLICT DO NOTHING"

typedef struct
{
	RingRecord **records;
	uint64 *ends; /* ring position behind each record */
	int room;
	int n;
	Size payload; /* bytes of all tuples */
} Batch;

/* What the transaction in progress will change when it commits. */
typedef struct
{
	bool active;
	int64 began; /* see monotonic.h */
	uint64 position;
	uint64 committed;
	uint64 duplicate;
	uint64 discarded;
	uint64 dead_lettered;
	DeadLetterRoom room;
	RingRecord *refused; /* the record to turn into its message, or NULL */
	const char *message;
} PendingCommit;

static Pair *my_pair;
static Ring *my_ring;
static TupleDesc staged_desc;
static TupleTableSlot *staged_slot;
static SPIPlanPtr insert_plan = NULL;
static SPIPlanPtr careful_plan = NULL;
static int careful_batches = 0; /* left to be stored by careful_plan */
static Batch batch;
static PendingCommit pending;

/* Days whose partition was there when last looked; forgotten after any error. */
static Bitmapset *known_days = NULL;

/*
 * Tell the listener what became of a record: its payload is the message now
 */
static void
write_refusal(RingRecord *record, const char *message)
{
	uint32 len = Min(strlen(message), record->payload_size);

	/* pg_mbcliplen would do, but may not be called where nothing may fail */
	while (len > 0 && len < strlen(message) && ((unsigned char) message[len] & 0xC0) == 0x80)
		len--;
	memcpy(RecordPayload(record), message, len);
	record->payload_size = len;
	record->kind = RECORD_REFUSED;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	uint64 events =
		pending.committed + pending.duplicate + pending.discarded + pending.dead_lettered;

	if (!pending.active)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		if (pending.refused != NULL)
		{
			write_refusal(pending.refused, pending.message);
			DeadLetterCommitted(my_pair, &pending.room);
		}
		/* a wait for a standby may have been cut short: then this is no acknowledgement */
		if (ProcDiePending)
			pg_atomic_write_u64(&my_pair->in_doubt, pending.position);
		CounterAdd(&my_pair->committed, pending.committed);
		CounterAdd(&my_pair->duplicate, pending.duplicate);
		CounterAdd(&my_pair->discarded, pending.discarded);
		CounterAdd(&my_pair->dead_lettered, pending.dead_lettered);
		pg_atomic_write_u64(&my_pair->last_commit, GetCurrentTransactionStopTimestamp());
		HistogramAdd(&my_pair->batches, EventBounds, events);
		HistogramAdd(&my_pair->commits, DurationBounds, MonotonicNow() - pending.began);
		RingCommit(my_ring, pending.position, events);
		WorkerWake(&my_pair->listener);
		pending.active = false;
	}
	else if (event == XACT_EVENT_ABORT)
		pending.active = false;
}

void
BatchInit(Pair *pair, Ring *ring)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	my_pair = pair;
	my_ring = ring;
	staged_desc = EventTupleDesc();
	staged_slot = MakeSingleTupleTableSlot(staged_desc, &TTSOpsMinimalTuple);
	batch.room = 1024;
	batch.records = palloc(batch.room * sizeof(RingRecord *));
	batch.ends = palloc(batch.room * sizeof(uint64));
	RegisterXactCallback(at_transaction_end, NULL);
	MemoryContextSwitchTo(caller);
}

/*
 * Add a record to the batch, unless it would become too large or touch too many
 * partitions, each of which takes locks
 */
static bool
add_record(RingRecord *record, uint64 end)
{
	static int32 days[MAX_BATCH_DAYS];
	static int ndays;
	static int last;

	if (batch.n == 0)
		ndays = last = 0;
	else if (batch.payload + record->payload_size > MAX_BATCH_BYTES)
		return false;
	if (batch.n == 0 || record->day != days[last])
	{
		for (last = 0; last < ndays && days[last] != record->day; last++)
			;
		if (last == MAX_BATCH_DAYS)
			return false;
		if (last == ndays)
			days[ndays++] = record->day;
	}
	if (batch.n == batch.room)
	{
		batch.room *= 2;
		batch.records = repalloc(batch.records, batch.room * sizeof(RingRecord *));
		batch.ends = repalloc(batch.ends, batch.room * sizeof(uint64));
	}
	batch.records[batch.n] = record;
	batch.ends[batch.n++] = end;
	batch.payload += record->payload_size;
	return true;
}

int
BatchTake(int max_events)
{
	RingConsumer consumer;
	RingRecord *record;

	RingAttachConsumer(&consumer, my_ring);
	batch.n = 0;
	batch.payload = 0;
	while (batch.n < max_events && (record = RingNext(&consumer)) != NULL &&
		   add_record(record, consumer.next))
		;
	return batch.n;
}

/*
 * Make the extension stay for this transaction
 */
static void
lock_extension(void)
{
	Oid extension = get_extension_oid("fast_ingest", true);

	if (OidIsValid(extension))
	{
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		if (get_extension_oid("fast_ingest", true) == extension)
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("extension \"fast_ingest\" does not exist")));
}

/*
 * Show the first n tuples of the batch to SQL as the relation "staged"
 */
static Tuplestorestate *
register_staged(int n)
{
	/* room for all of it: a batch never goes to disk */
	int kilobytes = (int) (batch.payload / 512) + n / 8 + 64;
	Tuplestorestate *store = tuplestore_begin_heap(false, false, kilobytes);
	RingRecord **records = fi_listeners > 1 ? KeyOrder(batch.records, n) : batch.records;

	for (int i = 0; i < n; i++)
	{
		ExecStoreMinimalTuple((MinimalTuple) RecordPayload(records[i]), staged_slot, false);
		tuplestore_puttupleslot(store, staged_slot);
	}
	ExecClearTuple(staged_slot);

	SpiShow("staged", staged_desc, store, n);
	return store;
}

/*
 * Insert the batch. Events that are stored already are rare, and looking for
 * them costs as much as storing: a batch is inserted as if there were none, and
 * one that turns out to hold some is inserted again with care, as are those
 * after it.
 */
static void
store_body(void *arg)
{
	int64 began = MonotonicNow();
	Tuplestorestate *store;
	bool careful = careful_batches > 0;
	SPIPlanPtr *plan = careful ? &careful_plan : &insert_plan;
	uint64 stored;
	uint64 duplicate = 0;

	lock_extension();
	store = register_staged(batch.n);
	if (*plan == NULL)
		*plan = SpiPrepare(careful ? INSERT_CAREFULLY : INSERT_STAGED, 0, NULL, 0);
	if (careful)
		ConflictsWatch(INSERT_CAREFULLY);
	if (SPI_execute_plan(*plan, NULL, NULL, false, 0) != SPI_OK_INSERT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not insert staged events")));
	stored = SPI_processed;
	if (careful)
		duplicate = ConflictsCounted();
	tuplestore_end(store);

	pending = (PendingCommit){
		.active = true,
		.began = began,
		.position = batch.ends[batch.n - 1],
		.committed = stored,
		.duplicate = duplicate,
		/* by a BEFORE trigger */
		.discarded = batch.n - stored - duplicate,
	};
}

static void
bury_body(void *arg)
{
	const ErrorData *reason = arg;
	int64 began = MonotonicNow();
	Tuplestorestate *store;
	DeadLetterRoom room;

	lock_extension();
	DeadLetterMakeRoom(&room);
	store = register_staged(1);
	DeadLetterInsert(reason);
	tuplestore_end(store);

	pending = (PendingCommit){
		.active = true,
		.began = began,
		.position = batch.ends[0],
		.dead_lettered = 1,
		.room = room,
		.refused = batch.records[0],
		.message = reason->message ? reason->message : "the database refused the event",
	};
}

static void
create_partition_body(void *arg)
{
	lock_extension();
	PartitionEnsure(*(int32 *) arg);
}

/*
 * Make the partitions that the batch needs, each in a transaction of its own. A
 * batch that needs many is cut before the first event that must wait.
 */
static ErrorData *
ensure_partitions(void)
{
	int32 last = -1;
	int unknown = 0; /* days looked at, each of which may have to be made */

	for (int i = 0; i < batch.n; i++)
	{
		int32 day = batch.records[i]->day;
		MemoryContext caller;
		ErrorData *error;

		if (day == last)
			continue;
		last = day;
		if (bms_is_member(day, known_days))
			continue;
		if (unknown++ == MAX_PARTITIONS_MADE)
		{
			batch.n = i;
			break;
		}
		error = RunTransaction("creating a partition", create_partition_body, &day);
		if (error != NULL)
			return error;
		caller = MemoryContextSwitchTo(TopMemoryContext);
		known_days = bms_add_member(known_days, day);
		MemoryContextSwitchTo(caller);
	}
	return NULL;
}

/*
 * Forget what was found out about the table: it may have changed
 */
static void
forget_cached(void)
{
	bms_free(known_days);
	known_days = NULL;
	if (insert_plan != NULL)
		SPI_freeplan(insert_plan);
	if (careful_plan != NULL)
		SPI_freeplan(careful_plan);
	insert_plan = careful_plan = NULL;
}

BatchResult
BatchStore(ErrorData **error)
{
	bool trusted_cache = known_days != NULL;

	*error = ensure_partitions();
	if (*error != NULL)
	{
		/* whatever it is, it is not the events' fault */
		forget_cached();
		return BATCH_NOT_NOW;
	}

	*error = RunTransaction("storing staged events", store_body, NULL);
	if (*error == NULL)
	{
		careful_batches -= careful_batches > 0;
		return BATCH_STORED;
	}
	if ((*error)->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && careful_batches == 0)
	{
		careful_batches = CAREFUL_BATCHES;
		return BatchStore(error);
	}
	/* a row without a partition violates a nameless check: somebody may have dropped it */
	if ((*error)->sqlerrcode == ERRCODE_CHECK_VIOLATION && (*error)->constraint_name == NULL &&
		trusted_cache)
	{
		forget_cached();
		return BatchStore(error);
	}
	if (!ErrorIsTransient((*error)->sqlerrcode))
		return BATCH_REFUSED;
	forget_cached();
	return BATCH_NOT_NOW;
}

ErrorData *
BatchBury(const ErrorData *reason)
{
	ErrorData *error = RunTransaction("storing a dead letter", bury_body, (void *) reason);

	if (error == NULL)
		DeadLetterReportDropped();
	return error;
}
