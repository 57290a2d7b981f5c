/*
 * batch.c
 *
 * From staged records to rows. A batch is of one lane.
 *
 * What a commit changes in shared memory is prepared before and done in a
 * transaction callback at the moment of commit: a flusher that dies afterwards
 * does not store the batch again.
 */
#include "postgres.h"

#include "flush/batch.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "event/tuple.h"
#include "flush/conflicts.h"
#include "flush/day_partition.h"
#include "flush/dead_letter.h"
#include "db/own_tables.h"
#include "flush/give_way.h"
#include "flush/batch_order.h"
#include "flush/sift.h"
#include "flush/staged.h"
#include "db/error_class.h"
#include "base/clock.h"
#include "base/settings.h"
#include "db/spi.h"
#include "worker/worker.h"

/* What one transaction may hold of memory and touch of partitions. */
#define MAX_BATCH_BYTES (16 * 1024 * 1024)
#define MAX_BATCH_DAYS 64
/* Partitions made before events are stored again: others may wait behind this batch. */
#define MAX_PARTITIONS_MADE 8

/*
 * ms that a transaction may hold up today's events, to begin with: longer with each try that
 * was broken off, and for a large batch. Events of other days get no more than the last.
 */
#define FIRST_PATIENCE 250
#define EVENTS_PER_MS 20
#define LONGEST_PATIENCE 8000
#define LONGEST_PATIENCE_OF_OTHERS 500

/* Events of a batch that are stored one by one. */
#define MAX_SIFTED 200

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
	Lane lane;
	int patience;	 /* ms, see GiveWayRun */
	int looked_days; /* whose partitions were looked for at this try */
} Batch;

/* What the transaction in progress will change when it commits. */
typedef struct
{
	bool active;
	int64 began; /* see clock.h */
	Lane lane;
	uint64 position;
	uint64 committed;
	uint64 duplicate;
	uint64 discarded;
	uint64 dead_lettered;
	DeadLetterRoom room;
	Refused *refused; /* dead_lettered of them */
} PendingCommit;

static Pair *my_pair;
static Ring **my_rings; /* of each lane */
static SPIPlanPtr insert_plan = NULL;
static SPIPlanPtr careful_plan = NULL;
static int careful_batches = 0; /* left to be stored by careful_plan */
static Batch batch;
static PendingCommit pending;

/* Does ON CONFLICT work for this batch? Not where the user has made a deferrable constraint. */
static bool careful_works;

static void
at_transaction_end(XactEvent event, void *arg)
{
	uint64 events =
		pending.committed + pending.duplicate + pending.discarded + pending.dead_lettered;

	if (!pending.active)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		for (uint64 i = 0; i < pending.dead_lettered; i++)
			RefusedWrite(&pending.refused[i]);
		if (pending.dead_lettered > 0)
			DeadLetterCommitted(my_pair, pending.dead_lettered, &pending.room);
		/* a wait for a standby may have been cut short: then this is no acknowledgement */
		if (ProcDiePending)
			pg_atomic_write_u64(&my_pair->in_doubt[pending.lane], pending.position);
		CounterAdd(&my_pair->committed, pending.committed);
		CounterAdd(&my_pair->duplicate, pending.duplicate);
		CounterAdd(&my_pair->discarded, pending.discarded);
		CounterAdd(&my_pair->dead_lettered, pending.dead_lettered);
		pg_atomic_write_u64(&my_pair->last_commit, GetCurrentTransactionStopTimestamp());
		HistogramAdd(&my_pair->batches, EventBounds, events);
		HistogramAdd(&my_pair->commits, DurationBounds, MonotonicNow() - pending.began);
		RingCommit(my_rings[pending.lane], pending.position, events);
		WorkerWake(&my_pair->listener);
		pending.active = false;
	}
	else if (event == XACT_EVENT_ABORT)
		pending.active = false;
}

void
BatchInit(Pair *pair, Ring **rings)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	my_pair = pair;
	my_rings = rings;
	StagedInit();
	GiveWayInit();
	EvidenceInit();
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
BatchTake(Lane lane, int max_events, int tries)
{
	RingConsumer consumer;
	RingRecord *record;

	RingAttachConsumer(&consumer, my_rings[lane]);
	batch.lane = lane;
	batch.n = 0;
	batch.payload = 0;
	while (batch.n < max_events && (record = RingNext(&consumer)) != NULL &&
		   add_record(record, consumer.next))
		;
	batch.patience = Min((FIRST_PATIENCE + batch.n / EVENTS_PER_MS) << Min(tries, 5),
						 lane == LANE_TODAY ? LONGEST_PATIENCE : LONGEST_PATIENCE_OF_OTHERS);
	return batch.n;
}

/*
 * Does the transaction in progress hold up events of today? Asked in a signal handler.
 */
static bool
today_waits(void)
{
	Ring *ring = my_rings[LANE_TODAY];
	uint64 published = RingPublished(ring);

	if (batch.lane != LANE_TODAY)
		return published != RingCommitted(ring);
	return batch.n > 1 || published != batch.ends[batch.n - 1];
}

/*
 * Insert what "staged" shows
 */
static Inserted
insert_shown(bool careful)
{
	SPIPlanPtr *plan = careful ? &careful_plan : &insert_plan;
	Inserted inserted = {0};

	if (!careful_works && batch.n == 1 && StagedIsStored(batch.records[0]->day))
		return (Inserted){.duplicate = 1};
	if (*plan == NULL)
		*plan = SpiPrepare(careful ? INSERT_CAREFULLY : INSERT_STAGED, 0, NULL, 0);
	if (careful)
		ConflictsWatch(INSERT_CAREFULLY);
	if (SPI_execute_plan(*plan, NULL, NULL, false, 0) != SPI_OK_INSERT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not insert staged events")));
	inserted.stored = SPI_processed;
	if (careful)
		inserted.duplicate = ConflictsCounted();
	return inserted;
}

static Inserted
insert_for_sift(void)
{
	Inserted inserted = insert_shown(careful_works);

	/* a deferred constraint would refuse an event when others have been stored with it */
	(void) SpiRun("SET CONSTRAINTS ALL IMMEDIATE", SPI_OK_UTILITY);
	return inserted;
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
	Inserted inserted;

	ExtensionLock();
	store = StagedShow(fi_listeners > 1 ? BatchOrder(batch.records, batch.n) : batch.records,
					   batch.n, batch.payload);
	inserted = insert_shown(careful_batches > 0);
	tuplestore_end(store);
	EvidenceKeep(batch.lane,
				 inserted.stored == (uint64) batch.n ? batch.records[batch.n - 1] : NULL);

	pending = (PendingCommit){
		.active = true,
		.began = began,
		.lane = batch.lane,
		.position = batch.ends[batch.n - 1],
		.committed = inserted.stored,
		.duplicate = inserted.duplicate,
		/* by a BEFORE trigger */
		.discarded = batch.n - inserted.stored - inserted.duplicate,
	};
}

static void
bury_body(void *arg)
{
	const ErrorData *reason = arg;
	int64 began = MonotonicNow();
	Tuplestorestate *store;
	DeadLetterRoom room;
	static Refused refused;

	refused = (Refused){batch.records[0],
						reason->message ? reason->message : "the database refused the event"};
	ExtensionLock();
	DeadLetterMakeRoom(&room);
	store = StagedShow(batch.records, 1, batch.records[0]->payload_size);
	DeadLetterInsert(reason);
	tuplestore_end(store);

	pending = (PendingCommit){
		.active = true,
		.began = began,
		.lane = batch.lane,
		.position = batch.ends[0],
		.dead_lettered = 1,
		.room = room,
		.refused = &refused,
	};
}

static void
sift_body(void *arg)
{
	Sift sift = {.records = batch.records, .n = batch.n, .reason = arg, .insert = insert_for_sift};
	int64 began = MonotonicNow();

	ExtensionLock();
	SiftRecords(&sift);
	EvidenceKeep(batch.lane, sift.last_stored);
	pending = (PendingCommit){
		.active = true,
		.began = began,
		.lane = batch.lane,
		.position = batch.ends[sift.done - 1],
		.committed = sift.inserted.stored,
		.duplicate = sift.inserted.duplicate,
		.discarded = sift.done - sift.nrefused - sift.inserted.stored - sift.inserted.duplicate,
		.dead_lettered = sift.nrefused,
		.refused = sift.refused,
	};
}

/*
 * Make the partitions that the batch needs. A batch that needs many is cut before the first
 * event that must wait: others do not wait for more than one of them.
 */
static ErrorData *
ensure_partitions(void)
{
	int32 last = -1;

	batch.looked_days = 0;
	for (int i = 0; i < batch.n; i++)
	{
		int32 day = batch.records[i]->day;
		ErrorData *error;

		if (day == last)
			continue;
		last = day;
		if (DayIsKnown(day))
			continue;
		if (batch.looked_days == MAX_PARTITIONS_MADE ||
			(batch.looked_days > 0 && batch.lane != LANE_TODAY && today_waits()))
		{
			batch.n = i;
			break;
		}
		batch.looked_days++;
		error = DayEnsure(day, batch.patience, today_waits);
		if (error != NULL)
			return error;
	}
	return NULL;
}

/*
 * Forget what was found out about the table: it may have changed
 */
static void
forget_cached(void)
{
	DayForgetAll();
	if (insert_plan != NULL)
		SPI_freeplan(insert_plan);
	if (careful_plan != NULL)
		SPI_freeplan(careful_plan);
	insert_plan = careful_plan = NULL;
	EvidenceForgetPlan();
}

/*
 * A row without a partition violates a nameless check
 */
static bool
is_without_partition(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_CHECK_VIOLATION && error->constraint_name == NULL;
}

/*
 * A batch was not stored: may it be at once, in another way? That is for conflicts with what
 * is stored, for rows without a partition, which somebody may have dropped, and where ON
 * CONFLICT turns out not to work.
 */
static bool
try_another_way(const ErrorData *error, bool careful)
{
	if (careful && error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
	{
		careful_works = false;
		careful_batches = 0;
		return true;
	}
	if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION)
	{
		careful_batches = careful_works ? CAREFUL_BATCHES : 0;
		return careful_works && !careful;
	}
	if (!is_without_partition(error) || batch.looked_days > 0)
		return false;
	DayForgetAll();
	return true;
}

static BatchResult
store_batch(ErrorData **error)
{
	bool careful = careful_batches > 0;

	*error = ensure_partitions();
	if (*error != NULL)
	{
		forget_cached();
		return BATCH_NO_PARTITION;
	}

	*error = GiveWayRun("storing staged events", store_body, NULL, batch.patience, today_waits);
	if (*error == NULL)
	{
		EvidenceKept(batch.lane);
		careful_batches -= careful;
		return BATCH_STORED;
	}
	if (GiveWayFired())
		return BATCH_GAVE_WAY;
	if (try_another_way(*error, careful))
		return store_batch(error);
	if (!ErrorIsTransient((*error)->sqlerrcode))
		return BATCH_REFUSED;
	forget_cached();
	return BATCH_NOT_NOW;
}

BatchResult
BatchStore(ErrorData **error)
{
	careful_works = true;
	return store_batch(error);
}

Evidence
BatchEvidence(const ErrorData *reason, bool same_day)
{
	/* whoever tries the batch once more shall not take longer than the others do */
	batch.patience = FIRST_PATIENCE;
	return EvidenceFor(reason, batch.records[0],
					   (RingConsumer){my_rings[batch.lane], batch.ends[0]}, same_day);
}

bool
BatchSift(const char *reason)
{
	batch.n = Min(batch.n, MAX_SIFTED);
	if (!DeadLetterHasRoom(batch.n) ||
		GiveWayRun("storing staged events without those refused", sift_body, (void *) reason,
				   batch.patience, today_waits) != NULL)
		return false;
	EvidenceKept(batch.lane);
	return true;
}

bool
BatchTodayPasses(const ErrorData *reason)
{
	return EvidenceOfToday(reason) == EVIDENCE_OTHERS_PASS;
}

void
BatchLookAtOddDay(void)
{
	batch.lane = LANE_OTHER_DAYS;
	DayLookAgain(FIRST_PATIENCE, today_waits);
}

int64
BatchStagedAt(void)
{
	return batch.records[0]->staged_at;
}

ErrorData *
BatchBury(const ErrorData *reason)
{
	ErrorData *error = GiveWayRun("storing a dead letter", bury_body, (void *) reason,
								  batch.patience, today_waits);

	if (error == NULL)
		DeadLetterReportDropped();
	return error;
}
