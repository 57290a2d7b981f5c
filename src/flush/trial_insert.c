/*
 * trial_insert.c
 *
 * Inserts that are always rolled back: see trial_insert.h.
 */
#include "postgres.h"

#include "flush/trial_insert.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "db/own_tables.h"
#include "db/spi.h"
#include "event/tuple.h"
#include "flush/cancel_when_blocking.h"
#include "flush/day_partition.h"
#include "flush/staged_relation.h"
#include "partition/create_partition.h"
#include "partition/partition_times.h"

#define KEPT 8					 /* copies of stored events, for each lane */
#define OTHERS 8				 /* events that are staged behind the refused one */
#define LARGEST_KEPT (16 * 1024) /* bytes of a copy */
#define TRIAL_TIME 250			 /* ms */

/* Without the key: a stored event would otherwise conflict with itself. */
#define INSERT_TRIAL \
	"INSERT INTO fast_ingest.events (" EVENT_DATA_COLUMNS ") SELECT " EVENT_DATA_COLUMNS

/* The last events that were stored in a lane. */
typedef struct
{
	RingRecord *records[KEPT];
	int next;		 /* index of the oldest copy, which the next one replaces */
	bool is_pending; /* it is written, and counts when its transaction commits */
} KeptEvents;

/* An event to be tried: the record, or if that is NULL an event of that day from the table. */
typedef struct
{
	RingRecord *record;
	int32 day;
} Trial;

static KeptEvents kept[NUM_LANES];
static SPIPlanPtr trial_plan = NULL;
static bool accepted; /* by the last trial */

void
TrialInit(void)
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
TrialKeep(Lane lane, const RingRecord *record)
{
	KeptEvents *mine = &kept[lane];

	mine->is_pending = record != NULL && record->payload_size <= LARGEST_KEPT;
	if (mine->is_pending)
		memcpy(mine->records[mine->next], record, RECORD_HEADER_SIZE + record->payload_size);
}

void
TrialKeepCommitted(Lane lane)
{
	KeptEvents *mine = &kept[lane];

	if (mine->is_pending)
		mine->next = (mine->next + 1) % KEPT;
	mine->is_pending = false;
}

void
TrialForgetPlan(void)
{
	if (trial_plan != NULL)
		SPI_freeplan(trial_plan);
	trial_plan = NULL;
}

static void
insert_record(RingRecord *record)
{
	Tuplestorestate *store = StagedRelationShow(&record, 1, record->payload_size);

	if (trial_plan == NULL)
		trial_plan = SpiPrepare(INSERT_TRIAL " FROM staged", 0, NULL, 0);
	if (SPI_execute_plan(trial_plan, NULL, NULL, false, 0) != SPI_OK_INSERT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not insert an event")));
	tuplestore_end(store);
}

/*
 * Insert an event that the table has of that day once more; returns 0 if it has none, else 1
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
insert_and_raise_error(void *arg)
{
	Trial *trial = arg;
	bool inserted = true;

	ExtensionLock();
	if (trial->record != NULL)
		insert_record(trial->record);
	else
		inserted = insert_stored(trial->day) == 1;
	AfterTriggerFireDeferred();
	accepted = inserted;
	ereport(ERROR, (errcode(ERRCODE_TRANSACTION_ROLLBACK), errmsg("this was a trial")));
}

typedef struct
{
	const ErrorData *reason;
	bool is_of_events; /* the error is about a partition of events */
} ErrorTable;

static void
look_up_error_table(void *arg)
{
	ErrorTable *subject = arg;
	Oid schema = get_namespace_oid(subject->reason->schema_name, true);
	Oid table = get_relname_relid(subject->reason->table_name, schema);

	subject->is_of_events = OidIsValid(table) && IsEventsPartition(table);
}

bool
ErrorIsConflict(const ErrorData *reason)
{
	ErrorTable subject = {.reason = reason};

	if ((reason->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
		 reason->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION) ||
		reason->schema_name == NULL || reason->table_name == NULL)
		return false;
	return RunTransaction("looking at a conflict", look_up_error_table, &subject) == NULL &&
		   subject.is_of_events;
}

static bool
assume_others_wait(void)
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
 * Try one event: the record, or if that is NULL an event that the table has of the day. Sets
 * *refused if it is refused for that reason. Returns false if no other one need be tried.
 */
static bool
try_event(RingRecord *record, int32 day, const ErrorData *reason, bool *refused)
{
	Trial trial = {record, day};
	ErrorData *error;

	accepted = false;
	error = RunUnlessBlocking("trying another event", insert_and_raise_error, &trial, TRIAL_TIME,
							  assume_others_wait);
	/* a stored event conflicts with itself if a constraint of the user's is without event_key */
	if (!accepted && ErrorIsConflict(error))
		accepted = true;
	if (!accepted)
		TrialForgetPlan();
	*refused = *refused || (!accepted && is_same_reason(error, reason));
	return !accepted && !LastRunWasCancelled();
}

/*
 * Try the events that were stored in a lane, the last one first. Sets *known if there are
 * any. Returns false if no other event need be tried.
 */
static bool
try_kept_events(Lane lane, const ErrorData *reason, int32 day, bool *refused, bool *known)
{
	const KeptEvents *mine = &kept[lane];
	bool go_on = true;

	/* without the oldest copy: an event whose transaction failed may have replaced it */
	for (int i = 1; i < KEPT && go_on; i++)
	{
		RingRecord *record = mine->records[(mine->next + KEPT - i) % KEPT];

		if (record->payload_size == 0 || (day != ANY_DAY && record->day != day))
			continue;
		*known = true;
		go_on = try_event(record, day, reason, refused);
	}
	return go_on;
}

static TrialResult
conclude_trials(bool refused)
{
	return accepted ? TRIAL_OTHERS_ACCEPTED : refused ? TRIAL_OTHERS_REFUSED : TRIAL_INCONCLUSIVE;
}

/*
 * Choose some of the events that a consumer has not read yet. They come from all over the
 * ring, as the events of one client stand together there.
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

TrialResult
TrialOfOthers(const ErrorData *reason, const RingRecord *record, RingConsumer behind, bool same_day)
{
	RingRecord *others[OTHERS];
	int n = choose_others(behind, others);
	int32 day = same_day ? record->day : ANY_DAY;
	bool known = false;
	bool refused = false;
	bool go_on = true;

	accepted = false;
	for (int lane = 0; lane < NUM_LANES && go_on; lane++)
		go_on = try_kept_events(lane, reason, day, &refused, &known);
	if (go_on && !known)
		go_on = try_event(NULL, record->day, reason, &refused);
	/* these may all be bad events of one client: that they are refused says nothing */
	for (int i = 0; i < n && go_on; i++)
		if (day == ANY_DAY || others[i]->day == day)
			go_on = try_event(others[i], day, reason, &(bool){false});
	return conclude_trials(refused);
}

TrialResult
TrialOfToday(const ErrorData *reason)
{
	bool known = false;
	bool refused = false;

	accepted = false;
	(void) try_kept_events(LANE_TODAY, reason, ANY_DAY, &refused, &known);
	return conclude_trials(refused);
}

bool
ErrorIsAboutOtherColumn(const ErrorData *reason)
{
	static const char *const columns = ", " EVENT_COLUMNS ",";

	return reason->sqlerrcode == ERRCODE_NOT_NULL_VIOLATION && reason->column_name != NULL &&
		   strstr(columns, psprintf(", %s,", reason->column_name)) == NULL;
}
