/*
 * evidence.c
 *
 * Events that are tried and rolled back; see evidence.h.
 */
#include "postgres.h"

#include "flush/evidence.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "event/tuple.h"
#include "flush/day_partition.h"
#include "db/own_tables.h"
#include "flush/give_way.h"
#include "partition/create_partition.h"
#include "flush/staged.h"
#include "partition/partition_times.h"
#include "db/spi.h"
#include "worker/worker.h"

#define KEPT 8					 /* events of each lane that were stored */
#define OTHERS 8				 /* events of the lane that wait behind */
#define LARGEST_KEPT (16 * 1024) /* bytes of one of them */
#define TRIAL_TIME 250			 /* ms */

/* Without a key: one that was stored would otherwise be found to be stored already. */
#define INSERT_TRIAL \
	"INSERT INTO fast_ingest.events (" EVENT_DATA_COLUMNS ") SELECT " EVENT_DATA_COLUMNS

typedef struct
{
	RingRecord *records[KEPT];
	int next;
	bool keeping; /* the next one, if its transaction commits */
} Kept;

/* An event to be tried: a record, or NULL for one of that day that is stored. */
typedef struct
{
	RingRecord *record;
	int32 day;
} Trial;

static Kept kept[NUM_LANES];
static SPIPlanPtr trial_plan = NULL;
static bool passed;

void
EvidenceInit(void)
{
	for (int lane = 0; lane < NUM_LANES; lane++)
		for (int i = 0; i < KEPT; i++)
		{
			kept[lane].records[i] =
				MemoryContextAlloc(TopMemoryContext, RECORD_HEADER_SIZE + LARGEST_KEPT);
			kept[lane].records[i]->payload_size = 0;
		}
}

void
EvidenceKeep(Lane lane, const RingRecord *record)
{
	Kept *mine = &kept[lane];

	mine->keeping = record != NULL && record->payload_size <= LARGEST_KEPT;
	if (mine->keeping)
		memcpy(mine->records[mine->next], record, RECORD_HEADER_SIZE + record->payload_size);
}

void
EvidenceKept(Lane lane)
{
	Kept *mine = &kept[lane];

	if (mine->keeping)
		mine->next = (mine->next + 1) % KEPT;
	mine->keeping = false;
}

void
EvidenceForgetPlan(void)
{
	if (trial_plan != NULL)
		SPI_freeplan(trial_plan);
	trial_plan = NULL;
}

static void
insert_record(RingRecord *record)
{
	Tuplestorestate *store = StagedShow(&record, 1, record->payload_size);

	if (trial_plan == NULL)
		trial_plan = SpiPrepare(INSERT_TRIAL " FROM staged", 0, NULL, 0);
	if (SPI_execute_plan(trial_plan, NULL, NULL, false, 0) != SPI_OK_INSERT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not insert an event")));
	tuplestore_end(store);
}

/*
 * Insert an event of that day that the table has, once more; returns how many were found
 */
static uint64
insert_stored(int32 day)
{
	return SpiRun(psprintf(INSERT_TRIAL " FROM fast_ingest.events WHERE ts >= '%s 00:00:00+00'"
										" AND ts < '%s 00:00:00+00' LIMIT 1",
						   PartitionDayText(day), PartitionDayText(day + 1)),
				  SPI_OK_INSERT);
}

/*
 * Insert one event, and end in an ERROR in any case
 */
static void
trial_body(void *arg)
{
	Trial *trial = arg;
	bool inserted = true;

	ExtensionLock();
	if (trial->record != NULL)
		insert_record(trial->record);
	else
		inserted = insert_stored(trial->day) == 1;
	AfterTriggerFireDeferred();
	passed = inserted;
	ereport(ERROR, (errcode(ERRCODE_TRANSACTION_ROLLBACK), errmsg("this was a trial")));
}

typedef struct
{
	const ErrorData *reason;
	bool of_events; /* is the error about that table, or a part of it? */
} Subject;

static void
look_at_subject(void *arg)
{
	Subject *subject = arg;
	Oid schema = get_namespace_oid(subject->reason->schema_name, true);
	Oid table = get_relname_relid(subject->reason->table_name, schema);

	subject->of_events = OidIsValid(table) && IsEventsPartition(table);
}

bool
EvidenceOfConflict(const ErrorData *reason)
{
	Subject subject = {.reason = reason};

	if ((reason->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
		 reason->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION) ||
		reason->schema_name == NULL || reason->table_name == NULL)
		return false;
	return RunTransaction("looking at a conflict", look_at_subject, &subject) == NULL &&
		   subject.of_events;
}

static bool
always(void)
{
	return true;
}

/*
 * Is it the same kind of error, about the same thing?
 */
static bool
is_same_reason(const ErrorData *a, const ErrorData *b)
{
	char of_a[WORKER_ERROR_SIZE];
	char of_b[WORKER_ERROR_SIZE];

	(void) ErrorDescribe(a, of_a);
	(void) ErrorDescribe(b, of_b);
	return a->sqlerrcode == b->sqlerrcode && strcmp(of_a, of_b) == 0;
}

/*
 * Try one event; NULL is some stored one of that day. *failed is set if it fails for that
 * reason; false if there is no point in trying another one.
 */
static bool
try_event(RingRecord *record, int32 day, const ErrorData *reason, bool *failed)
{
	Trial trial = {record, day};
	ErrorData *error;

	passed = false;
	error = GiveWayRun("trying another event", trial_body, &trial, TRIAL_TIME, always);
	/* one that was stored is in the way of itself where the user's constraint has no key */
	if (!passed && EvidenceOfConflict(error))
		passed = true;
	if (!passed)
		EvidenceForgetPlan();
	*failed = *failed || (!passed && is_same_reason(error, reason));
	return !passed && !GiveWayFired();
}

/*
 * Try what was stored in a lane, the last one first. *known is set if there was anything.
 */
static bool
try_kept(Lane lane, const ErrorData *reason, int32 day, bool *failed, bool *known)
{
	const Kept *mine = &kept[lane];
	bool go_on = true;

	/* the oldest one may have been overwritten by one whose transaction failed */
	for (int i = 1; i < KEPT && go_on; i++)
	{
		RingRecord *record = mine->records[(mine->next + KEPT - i) % KEPT];

		if (record->payload_size == 0 || (day != ANY_DAY && record->day != day))
			continue;
		*known = true;
		go_on = try_event(record, day, reason, failed);
	}
	return go_on;
}

static Evidence
conclude(bool failed)
{
	return passed ? EVIDENCE_OTHERS_PASS : failed ? EVIDENCE_OTHERS_FAIL : EVIDENCE_NONE;
}

/*
 * Some of the events that a consumer has before it: from all over the ring, as those of one
 * client come together
 */
static int
choose_others(RingConsumer behind, RingRecord *others[OTHERS])
{
	RingConsumer counter = behind;
	RingRecord *record;
	int64 staged = 0;
	int64 i = 0;
	int n = 0;

	while (RingNext(&counter) != NULL)
		staged++;
	while (i < staged && (record = RingNext(&behind)) != NULL)
		if (++i == (n + 1) * staged / Min(staged, OTHERS))
			others[n++] = record;
	return n;
}

Evidence
EvidenceFor(const ErrorData *reason, const RingRecord *record, RingConsumer behind, bool same_day)
{
	RingRecord *others[OTHERS];
	int n = choose_others(behind, others);
	int32 day = same_day ? record->day : ANY_DAY;
	bool known = false;
	bool failed = false;
	bool go_on = true;

	passed = false;
	for (int lane = 0; lane < NUM_LANES && go_on; lane++)
		go_on = try_kept(lane, reason, day, &failed, &known);
	if (go_on && !known)
		go_on = try_event(NULL, record->day, reason, &failed);
	/* these may be of one client, and all bad: that they fail says nothing */
	for (int i = 0; i < n && go_on; i++)
		if (day == ANY_DAY || others[i]->day == day)
			go_on = try_event(others[i], day, reason, &(bool){false});
	return conclude(failed);
}

Evidence
EvidenceOfToday(const ErrorData *reason)
{
	bool known = false;
	bool failed = false;

	passed = false;
	(void) try_kept(LANE_TODAY, reason, ANY_DAY, &failed, &known);
	return conclude(failed);
}

bool
EvidenceOfColumn(const ErrorData *reason)
{
	static const char *const columns = ", " EVENT_COLUMNS ",";

	return reason->sqlerrcode == ERRCODE_NOT_NULL_VIOLATION && reason->column_name != NULL &&
		   strstr(columns, psprintf(", %s,", reason->column_name)) == NULL;
}
