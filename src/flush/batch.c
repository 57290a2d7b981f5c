/*
 * batch.c
 *
 * From staged records to rows. All records of a batch are of one lane.
 */
#include "postgres.h"

#include "flush/batch.h"

#include "executor/executor.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/settings.h"
#include "db/count_conflicts.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "event/tuple.h"
#include "flush/batch_commit.h"
#include "flush/batch_order.h"
#include "flush/cancel_when_blocking.h"
#include "flush/day_partition.h"
#include "flush/dead_letter.h"
#include "flush/insert_one_by_one.h"
#include "flush/staged_relation.h"

/* Bounds of one transaction: the memory of its tuples, the partitions that it locks. */
#define MAX_BATCH_BYTES (16 * 1024 * 1024)
#define MAX_BATCH_DAYS 64
/* Partitions that are made before events are stored again: others may wait behind this batch. */
#define MAX_PARTITIONS_MADE 8

/*
 * For how many milliseconds a transaction may hold up events of today: longer for a large
 * batch, and doubled with each try that failed
 */
#define FIRST_PATIENCE 250
#define EVENTS_PER_MS 20
#define LONGEST_PATIENCE 8000
#define LONGEST_PATIENCE_OF_OTHERS 500 /* in the lane of other days */

/* Events of a batch that are inserted one by one. */
#define MAX_ONE_BY_ONE 200

/* Batches that are inserted with care after one that held an event that was stored already. */
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
	int patience;	 /* ms, see RunUnlessBlocking */
	int looked_days; /* days whose partitions this try has looked for */
} Batch;

static Ring **my_rings; /* of each lane */
static SPIPlanPtr insert_plan = NULL;
static SPIPlanPtr careful_plan = NULL;
static int careful_batches = 0; /* so many batches to come are inserted by careful_plan */
static Batch batch;

/* Does ON CONFLICT work for this batch? It does not where a constraint is deferrable. */
static bool careful_works;

void
BatchInit(Pair *pair, Ring **rings)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	my_rings = rings;
	BatchCommitInit(pair, rings);
	StagedRelationInit();
	CancelWhenBlockingInit();
	TrialInit();
	batch.room = 1024;
	batch.records = palloc(batch.room * sizeof(RingRecord *));
	batch.ends = palloc(batch.room * sizeof(uint64));
	MemoryContextSwitchTo(caller);
}

/*
 * Add a record to the batch; false if the batch would become too large, or touch too many
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
 * Do events of today wait for the transaction in progress? Called in a signal handler.
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
 * Insert what the relation "staged" shows
 */
static InsertCounts
insert_shown(bool careful)
{
	SPIPlanPtr *plan = careful ? &careful_plan : &insert_plan;
	InsertCounts counts = {0};

	if (!careful_works && batch.n == 1 && StagedRelationIsStored(batch.records[0]->day))
		return (InsertCounts){.duplicate = 1};
	if (*plan == NULL)
		*plan = SpiPrepare(careful ? INSERT_CAREFULLY : INSERT_STAGED, 0, NULL, 0);
	if (careful)
		ConflictCountBegin(INSERT_CAREFULLY);
	if (SPI_execute_plan(*plan, NULL, NULL, false, 0) != SPI_OK_INSERT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not insert staged events")));
	counts.stored = SPI_processed;
	if (careful)
		counts.duplicate = ConflictCountEnd();
	return counts;
}

/*
 * The same, and check deferred constraints at once. At the commit, a constraint that one event
 * violates would undo the others, too
 */
static InsertCounts
insert_shown_now(void)
{
	InsertCounts counts = insert_shown(careful_works);

	(void) SpiRun("SET CONSTRAINTS ALL IMMEDIATE", SPI_OK_UTILITY);
	return counts;
}

/*
 * Insert the batch. Events that are stored already are rare, and looking for them costs as
 * much as storing. So a batch is inserted as if it had none. If it turns out to have some,
 * it is inserted again with ON CONFLICT, and so are the batches after it.
 */
static void
insert_batch(void *arg)
{
	int64 began = MonotonicNow();
	Tuplestorestate *store;
	InsertCounts counts;

	ExtensionLock();
	store =
		StagedRelationShow(fi_listeners > 1 ? BatchOrder(batch.records, batch.n) : batch.records,
						   batch.n, batch.payload);
	counts = insert_shown(careful_batches > 0);
	tuplestore_end(store);
	TrialKeep(batch.lane, counts.stored == (uint64) batch.n ? batch.records[batch.n - 1] : NULL);

	BatchCommitPrepare(&(BatchCommit){
		.began = began,
		.lane = batch.lane,
		.position = batch.ends[batch.n - 1],
		.committed = counts.stored,
		.duplicate = counts.duplicate,
		/* by a BEFORE trigger */
		.discarded = batch.n - counts.stored - counts.duplicate,
	});
}

static void
bury_event(void *arg)
{
	const ErrorData *reason = arg;
	int64 began = MonotonicNow();
	Tuplestorestate *store;
	DeadLetterRoom room;
	static RefusedRecord refused;

	refused = (RefusedRecord){batch.records[0],
							  reason->message ? reason->message : "the database refused the event"};
	ExtensionLock();
	DeadLetterMakeRoom(&room);
	store = StagedRelationShow(batch.records, 1, batch.records[0]->payload_size);
	DeadLetterInsert(reason);
	tuplestore_end(store);

	BatchCommitPrepare(&(BatchCommit){
		.began = began,
		.lane = batch.lane,
		.position = batch.ends[0],
		.dead_lettered = 1,
		.room = room,
		.refused = &refused,
	});
}

static void
insert_events_one_by_one(void *arg)
{
	OneByOneInsert job = {
		.records = batch.records, .n = batch.n, .reason = arg, .insert = insert_shown_now};
	int64 began = MonotonicNow();

	ExtensionLock();
	InsertOneByOne(&job);
	TrialKeep(batch.lane, job.last_stored);
	BatchCommitPrepare(&(BatchCommit){
		.began = began,
		.lane = batch.lane,
		.position = batch.ends[job.done - 1],
		.committed = job.counts.stored,
		.duplicate = job.counts.duplicate,
		.discarded = job.done - job.nrefused - job.counts.stored - job.counts.duplicate,
		.dead_lettered = job.nrefused,
		.refused = job.refused,
	});
}

/*
 * Make the partitions that the batch needs. If many are missing, or events of today wait, the
 * batch is cut before the next missing one, so that nobody waits for more than one partition.
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
 * Forget what is known about the table: it may have changed
 */
static void
forget_table(void)
{
	DayForgetAll();
	if (insert_plan != NULL)
		SPI_freeplan(insert_plan);
	if (careful_plan != NULL)
		SPI_freeplan(careful_plan);
	insert_plan = careful_plan = NULL;
	TrialForgetPlan();
}

/*
 * Was there no partition for a row? PostgreSQL reports it as a check without a name.
 */
static bool
is_without_partition(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_CHECK_VIOLATION && error->constraint_name == NULL;
}

/*
 * The batch was not stored: is there another way to try at once? There is if events
 * conflict with what is stored, if ON CONFLICT turns out not to work, and if somebody has
 * dropped a partition.
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
		forget_table();
		return BATCH_NO_PARTITION;
	}

	*error =
		RunUnlessBlocking("storing staged events", insert_batch, NULL, batch.patience, today_waits);
	if (*error == NULL)
	{
		TrialKeepCommitted(batch.lane);
		careful_batches -= careful;
		return BATCH_STORED;
	}
	if (LastRunWasCancelled())
		return BATCH_GAVE_WAY;
	if (try_another_way(*error, careful))
		return store_batch(error);
	if (!ErrorIsTransient((*error)->sqlerrcode))
		return BATCH_REFUSED;
	forget_table();
	return BATCH_NOT_NOW;
}

BatchResult
BatchStore(ErrorData **error)
{
	careful_works = true;
	return store_batch(error);
}

TrialResult
BatchTryOthers(const ErrorData *reason, bool same_day)
{
	/* from here on the batch is tried for no longer than the others are */
	batch.patience = FIRST_PATIENCE;
	return TrialOfOthers(reason, batch.records[0],
						 (RingConsumer){my_rings[batch.lane], batch.ends[0]}, same_day);
}

bool
BatchInsertOneByOne(const char *reason)
{
	batch.n = Min(batch.n, MAX_ONE_BY_ONE);
	if (!DeadLetterHasRoom(batch.n) ||
		RunUnlessBlocking("storing staged events without those refused", insert_events_one_by_one,
						  (void *) reason, batch.patience, today_waits) != NULL)
		return false;
	TrialKeepCommitted(batch.lane);
	return true;
}

bool
BatchTodayPasses(const ErrorData *reason)
{
	return TrialOfToday(reason) == TRIAL_OTHERS_ACCEPTED;
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
	ErrorData *error = RunUnlessBlocking("storing a dead letter", bury_event, (void *) reason,
										 batch.patience, today_waits);

	if (error == NULL)
		DeadLetterReportDropped();
	return error;
}
