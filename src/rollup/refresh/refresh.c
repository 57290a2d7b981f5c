/*
 * refresh.c
 *
 * fi_refresh() and fi_rebuild().
 */
#include "postgres.h"

#include "rollup/refresh/refresh.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "base/clock.h"
#include "base/compat.h"
#include "rollup/delta/backlog.h"
#include "rollup/state/key_limit.h"
#include "rollup/state/recount.h"
#include "rollup/refresh/merge.h"
#include "rollup/metrics/scan_events.h"
#include "rollup/refresh/refresh_counters.h"
#include "rollup/state/restored.h"
#include "rollup/refresh/close_buckets.h"
#include "rollup/state/statement.h"
#include "db/spi.h"
#include "db/scan_own_table.h"

PG_FUNCTION_INFO_V1(fi_refresh);
PG_FUNCTION_INFO_V1(fi_rebuild);

/* Dirty spans of a breakdown beyond which whole hours are cheaper. */
#define MAX_SPANS_OF_MINUTES 100

/* What a refresh knows all the way through. */
typedef struct
{
	Snapshot snapshot;
	RollupState state;
	BreakdownList *breakdowns;
	TimeRangeList **dirty; /* for each breakdown */
	Merger *merger;
	RefreshResult *result;
} Refresh;

void
RefreshLock(void)
{
	LockDatabaseObject(ExtensionRelationId, get_extension_oid("fast_ingest", false), 1,
					   ExclusiveLock);
}

/*
 * Read how far the rollup is; false if nothing was ever merged
 */
static bool
read_state(RollupState *state)
{
	bool isnull;

	if (SpiRun("SELECT hours_closed, days_closed, users FROM fast_ingest.rollup_state",
			   SPI_OK_SELECT) == 0)
	{
		/* nothing is missing in what is over */
		TimestampTz now = GetCurrentTimestamp();

		state->hours_closed = BucketStart(now - CLOSE_DELAY, LEVEL_HOUR);
		state->days_closed = BucketStart(state->hours_closed, LEVEL_DAY);
		state->users = 0;
		return false;
	}
	state->hours_closed = DatumGetTimestampTz(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	state->days_closed = DatumGetTimestampTz(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	state->users =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	return true;
}

static void
write_state(const RollupState *state, bool is_new)
{
	char statement[128];

	snprintf(statement, sizeof(statement),
			 is_new ? "INSERT INTO fast_ingest.rollup_state (hours_closed, days_closed, users)"
					  " VALUES ($1, $2, " INT64_FORMAT ")"
					: "UPDATE fast_ingest.rollup_state SET hours_closed = $1, days_closed = $2,"
					  " users = " INT64_FORMAT,
			 state->users);
	(void) RollupStatement(statement, state->hours_closed, state->days_closed);
}

/*
 * Gather what a delta holds
 */
static void
gather_delta(Refresh *refresh, const struct varlena *groups)
{
	DeltaReader reader;
	DeltaSectionReader section;
	uint32 *texts;
	uint32 *users;

	DeltaRead(&reader, groups);
	texts = palloc((reader.header->nstrings + 1) * sizeof(uint32));
	users = palloc((reader.header->nusers + 1) * sizeof(uint32));
	for (uint32 i = 0; i < reader.header->nstrings; i++)
	{
		uint32 len;
		const char *text = DeltaString(&reader, i, &len);

		texts[i] = MergerText(refresh->merger, text, len);
	}
	for (uint32 i = 0; i < reader.header->nusers; i++)
		users[i] = MergerUser(refresh->merger, reader.users[i]);

	while (DeltaNextSection(&reader, &section))
	{
		const Breakdown *breakdown = BreakdownById(refresh->breakdowns, section.breakdown);
		const uint16 *ref = section.refs;

		if (breakdown == NULL)
			continue; /* it was dropped since */
		for (uint32 i = 0; i < section.ngroups; i++)
		{
			const DeltaGroup *source = &section.groups[i];
			TimestampTz bucket = DeltaBucket(source);
			MergeGroup *group;

			if (TimeRangeListHas(refresh->dirty[breakdown - refresh->breakdowns->items], bucket))
			{
				/* raw rows are counted in its stead, this one's among them */
				ref += source->nrefs;
				continue;
			}
			group = MergerGroup(refresh->merger, breakdown, texts[source->event_name],
								texts[source->scope], texts[source->key], bucket);
			MergeGroupEvents(group, source->events);
			for (int j = 0; j < source->nrefs; j++)
				MergeGroupUser(group, users[*ref++]);
		}
	}
	pfree(users);
	pfree(texts);
}

/*
 * Merge and delete all deltas of the snapshot
 */
static void
merge_deltas(Refresh *refresh)
{
	OwnTableScan rows;

	OwnTableScanBegin(&rows, "rollup_delta", RowExclusiveLock, refresh->snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		Datum value = slot_getattr(rows.slot, DELTA_COLUMN_GROUPS, &isnull);
		struct varlena *groups = PG_DETOAST_DATUM(value);

		refresh->result->events +=
			DatumGetInt32(slot_getattr(rows.slot, DELTA_COLUMN_EVENTS, &isnull));
		gather_delta(refresh, groups);
		if ((Pointer) groups != DatumGetPointer(value))
			pfree(groups);
		OwnTableScanDelete(&rows);
		if (MergerIsFull(refresh->merger))
			MergerFlush(refresh->merger);
	}
	MergerFlush(refresh->merger);
	OwnTableScanEnd(&rows);
}

typedef struct
{
	Refresh *refresh;
	const Breakdown *breakdown;
} RawTarget;

/*
 * Count a raw row
 */
static void
gather_row(const ScannedEvent *row, void *arg)
{
	RawTarget *target = arg;
	Merger *merger = target->refresh->merger;
	MergeGroup *group = MergerGroup(
		merger, target->breakdown, MergerText(merger, row->event_name, row->event_name_len),
		MergerText(merger, row->scope, row->scope_len), MergerText(merger, row->key, row->key_len),
		BucketStart(row->ts, target->breakdown->finest));

	MergeGroupEvents(group, 1);
	if (row->has_user)
		MergeGroupUser(group, MergerUser(merger, row->user));
	target->refresh->result->raw_rows++;
	if (MergerIsFull(merger))
		MergerFlush(merger);
}

/*
 * Where all breakdowns count whole days again, their event_names are chosen anew
 */
static void
forget_names(Refresh *refresh)
{
	TimeRangeList everything = {0};
	const TimeRangeList *dirty = &everything;

	TimeRangeListAdd(&everything, TIME_BEGIN, TIME_END);
	for (int i = 0; i < refresh->breakdowns->n; i++)
		dirty = TimeRangeListIntersection(dirty, refresh->dirty[i]);
	for (int i = 0; i < dirty->n; i++)
		KeyLimitForgetNames(dirty->spans[i]);
}

/*
 * Forget what the rollup has of dirty buckets, and count their rows again
 */
static void
rebuild_dirty(Refresh *refresh)
{
	for (int i = 0; i < refresh->breakdowns->n; i++)
	{
		const Breakdown *breakdown = &refresh->breakdowns->items[i];
		TimeRangeList *dirty = refresh->dirty[i];

		for (int j = 0; j < dirty->n; j++)
		{
			RawTarget target = {refresh, breakdown};

			CloseBucketsForget(breakdown, dirty->spans[j]);
			ScanEvents(breakdown, NULL, NULL, dirty->spans[j], gather_row, &target);
		}
		MergerFlush(refresh->merger);
		CloseBucketsAgain(breakdown, dirty, &refresh->state);
	}
}

/*
 * What is dirty in a breakdown. Every span takes some statements: of many minutes the
 * whole hours are counted again, where all rows of an hour are there.
 */
static TimeRangeList *
spans_to_rebuild(Snapshot snapshot, const Breakdown *breakdown)
{
	TimeRangeList *spans = RecountRanges(snapshot, breakdown->id, breakdown->finest);

	if (breakdown->finest == LEVEL_MINUTE && spans->n > MAX_SPANS_OF_MINUTES)
		spans = TimeRangeListUnion(spans, RecountRanges(snapshot, breakdown->id, LEVEL_HOUR));
	return spans;
}

/*
 * Statements over the rollup look up few rows of many by its index, whatever the
 * planner thinks of a table that changes so fast. They group by sorting: PostgreSQL's
 * hashes have no seed, and names and keys are what clients make up.
 */
static void
set_planner(void)
{
	static const char *const off[] = {"enable_hashagg", "enable_hashjoin", "enable_mergejoin",
									  "enable_seqscan", "jit"};

	for (int i = 0; i < (int) lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
								 0, false);
}

static void
refresh_with_snapshot(Refresh *refresh)
{
	bool has_state = read_state(&refresh->state);
	RollupState before = refresh->state;

	refresh->breakdowns = BreakdownsRead(refresh->snapshot);
	refresh->dirty = palloc(Max(refresh->breakdowns->n, 1) * sizeof(TimeRangeList *));
	for (int i = 0; i < refresh->breakdowns->n; i++)
		refresh->dirty[i] = spans_to_rebuild(refresh->snapshot, &refresh->breakdowns->items[i]);
	refresh->merger = MergerCreate(&refresh->state);

	forget_names(refresh);
	merge_deltas(refresh);
	rebuild_dirty(refresh);
	RecountForget(refresh->snapshot, refresh->breakdowns);
	CloseBucketsClose(&refresh->state, refresh->breakdowns, &refresh->result->hours_closed,
					  &refresh->result->days_closed);
	/* where events still come in, parts are put together once an hour */
	CloseBucketsParts(refresh->result->hours_closed > 0 ? (TimeRange){TIME_END, TIME_BEGIN}
														: MergerTouched(refresh->merger));
	refresh->result->groups = MergerGroupsMerged(refresh->merger);
	/* a restore wants to bring the row where nothing was merged yet */
	if (has_state ? memcmp(&refresh->state, &before, sizeof(before)) != 0
				  : refresh->result->groups > 0)
		write_state(&refresh->state, !has_state);
	refresh->result->users = refresh->state.users - before.users;
}

/*
 * Refresh, and do a change, if there is one, and refresh again
 */
static void
run(RefreshResult *result, RefreshChange change, void *arg)
{
	Refresh refresh = {.result = result};
	SavedUser user;
	int level;
	int64 began;
	int64 restored;

	RefreshBegan();
	memset(result, 0, sizeof(*result));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the rollup cannot be refreshed at isolation level %s",
							   GetConfigOption("transaction_isolation", false, false)),
						errdetail("A refresh must see what was committed before it began."),
						errhint("Run BEGIN ISOLATION LEVEL READ COMMITTED, the same again, and "
								"COMMIT.")));

	SPI_connect();
	MemoryContextSwitchTo(
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest refresh", ALLOCSET_DEFAULT_SIZES));
	/* in this order: who waits for a refresh to end keeps nobody from locking events */
	RefreshLock();
	LockEventsTable();
	user = ActAsRollupOwner();
	began = MonotonicNow();
	level = NewGUCNestLevel();
	set_planner();
	BacklogClaim();
	restored = RestoredUpTo();
	PushActiveSnapshot(GetLatestSnapshot());
	refresh.snapshot = GetActiveSnapshot();
	RestoredCheck(restored, refresh.snapshot);
	refresh_with_snapshot(&refresh);
	if (change != NULL)
	{
		change(refresh.snapshot, arg);
		/* the snapshot is to show what was changed */
		CommandCounterIncrement();
		UpdateActiveSnapshotCommandId();
		refresh_with_snapshot(&refresh);
	}
	PopActiveSnapshot();
	AtEOXact_GUC(true, level);
	ActAsCallerAgain(user);
	SPI_finish();
	RefreshEnded(MonotonicNow() - began);
}

void
RefreshRun(RefreshResult *result)
{
	run(result, NULL, NULL);
}

void
RefreshAround(RefreshChange change, void *arg)
{
	RefreshResult result;

	run(&result, change, arg);
}

/*
 * Run a refresh for a function and return its result
 */
static Datum
refresh_and_return(FunctionCallInfo fcinfo)
{
	RefreshResult result;
	TupleDesc desc;
	Datum values[6];
	bool isnull[6] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	RefreshRun(&result);
	values[0] = Int64GetDatum(result.events);
	values[1] = Int64GetDatum(result.groups);
	values[2] = Int64GetDatum(result.users);
	values[3] = Int64GetDatum(result.raw_rows);
	values[4] = Int64GetDatum(result.hours_closed);
	values[5] = Int64GetDatum(result.days_closed);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, isnull));
}

Datum
fi_refresh(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("fi_refresh()");
	PG_RETURN_DATUM(refresh_and_return(fcinfo));
}

/*
 * fi_rebuild("from" timestamptz, "to" timestamptz): NULL is the beginning or the
 * end of time
 */
Datum
fi_rebuild(PG_FUNCTION_ARGS)
{
	TimestampTz from = PG_ARGISNULL(0) ? TIME_BEGIN : PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz to = PG_ARGISNULL(1) ? TIME_END : PG_GETARG_TIMESTAMPTZ(1);

	PreventCommandIfReadOnly("fi_rebuild()");
	from = Max(from, TIME_BEGIN);
	to = Min(to, TIME_END);
	if (from >= to)
	{
		char *text = pstrdup(timestamptz_to_str(from));

		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("from must be before to: %s is not before %s", text,
							   timestamptz_to_str(to))));
	}
	RefreshLock();
	LockEventsTable();
	RecountMark(BucketStart(from, LEVEL_MINUTE),
				BucketStart(to - 1, LEVEL_MINUTE) + USECS_PER_MINUTE, 0);
	CommandCounterIncrement();
	PG_RETURN_DATUM(refresh_and_return(fcinfo));
}
