/*
 * refresh.c
 *
 * Refreshes the rollup: fi_refresh() and fi_rebuild().
 */
#include "postgres.h"

#include "rollup/refresh/refresh.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "db/set_option.h"
#include "db/spi.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/backlog.h"
#include "rollup/delta/delta_read.h"
#include "rollup/refresh/close_buckets.h"
#include "rollup/refresh/merge.h"
#include "rollup/refresh/refresh_counters.h"
#include "rollup/sets/minute_times.h"
#include "rollup/state/key_limit.h"
#include "rollup/state/recount.h"
#include "rollup/state/refresh_lock.h"
#include "rollup/state/restored.h"
#include "rollup/state/rollup_state.h"

PG_FUNCTION_INFO_V1(fi_refresh);
PG_FUNCTION_INFO_V1(fi_rebuild);

/* If more ranges of minutes are marked in a breakdown, counting whole hours again is cheaper. */
#define MAX_MINUTE_RANGES 100

/* A refresh in progress. */
typedef struct
{
	Snapshot snapshot;
	RollupState state;
	BreakdownList *breakdowns;
	TimeRangeList **recount; /* for each breakdown: what is counted again */
	Merger *merger;
	RefreshResult *result;
} Refresh;

/*
 * Read how far the rollup is; false if nothing was merged yet
 */
static bool
read_state(Refresh *refresh)
{
	RollupState *state = &refresh->state;

	if (RollupStateRead(refresh->snapshot, state))
		return true;
	/* what is over is closed: it has no events that would have to be merged first */
	state->hours_closed = BucketStart(GetCurrentTimestamp() - CLOSE_DELAY, LEVEL_HOUR);
	state->days_closed = BucketStart(state->hours_closed, LEVEL_DAY);
	return false;
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
		const uint32 *offset = section.offsets;

		if (breakdown == NULL)
			continue; /* it was dropped after the insert */
		for (uint32 i = 0; i < section.ngroups; i++)
		{
			const DeltaGroup *counted = &section.groups[i];
			TimestampTz bucket = DeltaBucket(counted);
			const uint16 *refs = ref;
			const uint32 *offsets = offset;
			MergeGroup *group;

			ref += counted->nrefs;
			if (offset != NULL)
				offset += counted->events;
			/* then all events of the bucket are counted again, including those of this group */
			if (TimeRangeListHas(refresh->recount[breakdown - refresh->breakdowns->items], bucket))
				continue;
			group = MergerGroup(refresh->merger, breakdown, texts[counted->event_name],
								texts[counted->scope], texts[counted->key],
								BreakdownBucketStart(breakdown, bucket));
			MergeGroupEvents(group, counted->events);
			if (offsets != NULL)
				for (int j = 0; j < counted->events; j++)
					MergeGroupTime(group, offsets[j],
								   j < counted->nrefs ? users[refs[j]] : MINUTE_NO_USER);
			else
				for (int j = 0; j < counted->nrefs; j++)
					MergeGroupUser(group, users[refs[j]]);
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
} RecountTarget;

/*
 * Gather an event that is counted again
 */
static void
gather_event(const ScannedEvent *row, void *arg)
{
	RecountTarget *target = arg;
	Merger *merger = target->refresh->merger;
	TimestampTz bucket = BreakdownBucketStart(target->breakdown, row->ts);
	MergeGroup *group = MergerGroup(merger, target->breakdown,
									MergerText(merger, row->event_name, row->event_name_len),
									MergerText(merger, row->scope, row->scope_len),
									MergerText(merger, row->key, row->key_len), bucket);
	uint32 user = row->has_user ? MergerUser(merger, row->user) : MINUTE_NO_USER;

	MergeGroupEvents(group, 1);
	if (target->breakdown->keeps_times)
		MergeGroupTime(group, (uint32) (row->ts - bucket), user);
	else if (row->has_user)
		MergeGroupUser(group, user);
	target->refresh->result->recounted_rows++;
	if (MergerIsFull(merger))
		MergerFlush(merger);
}

/*
 * Forget which event_names have rows of their own on the days that all breakdowns count again
 */
static void
forget_event_names(Refresh *refresh)
{
	TimeRangeList everything = {0};
	const TimeRangeList *in_all = &everything;

	TimeRangeListAdd(&everything, TIME_BEGIN, TIME_END);
	for (int i = 0; i < refresh->breakdowns->n; i++)
		in_all = TimeRangeListIntersection(in_all, refresh->recount[i]);
	for (int i = 0; i < in_all->n; i++)
		KeyLimitForgetNames(in_all->ranges[i]);
}

/*
 * Remove what the rollup has of marked buckets, and count their events again
 */
static void
recount_buckets(Refresh *refresh)
{
	for (int i = 0; i < refresh->breakdowns->n; i++)
	{
		const Breakdown *breakdown = &refresh->breakdowns->items[i];
		TimeRangeList *recount = refresh->recount[i];

		for (int j = 0; j < recount->n; j++)
		{
			RecountTarget target = {refresh, breakdown};
			EventSelection selection = {.range = recount->ranges[j]};

			CloseBucketsForget(breakdown, recount->ranges[j]);
			ScanEvents(breakdown, &selection, gather_event, &target);
		}
		MergerFlush(refresh->merger);
		CloseBucketsAgain(breakdown, recount, &refresh->state);
	}
}

/*
 * The buckets of a breakdown to count again. Each range of them takes several statements: if
 * there are many, their whole hours are counted again, where all events of an hour are there.
 */
static TimeRangeList *
find_recount_ranges(Snapshot snapshot, const Breakdown *breakdown)
{
	TimeRangeList *ranges = RecountRanges(snapshot, breakdown);
	Breakdown hours = *breakdown;

	/* days before fine_from stay whole */
	hours.width = Max(hours.width, USECS_PER_HOUR);
	if (breakdown->finest == LEVEL_MINUTE && ranges->n > MAX_MINUTE_RANGES)
		ranges = TimeRangeListUnion(ranges, RecountRanges(snapshot, &hours));
	return ranges;
}

void
RefreshRestrictPlanner(void)
{
	static const char *const off[] = {"enable_hashagg", "enable_hashjoin", "enable_mergejoin",
									  "enable_seqscan", "jit"};

	for (int i = 0; i < (int) lengthof(off); i++)
		SetOption(off[i], "off", GUC_ACTION_SAVE);
}

static void
refresh_with_snapshot(Refresh *refresh)
{
	bool has_state = read_state(refresh);
	RollupState before = refresh->state;

	refresh->breakdowns = BreakdownsRead(refresh->snapshot, refresh->state.days_closed);
	refresh->recount = palloc(Max(refresh->breakdowns->n, 1) * sizeof(TimeRangeList *));
	for (int i = 0; i < refresh->breakdowns->n; i++)
		refresh->recount[i] =
			find_recount_ranges(refresh->snapshot, &refresh->breakdowns->items[i]);
	refresh->merger = MergerCreate(&refresh->state);

	forget_event_names(refresh);
	merge_deltas(refresh);
	recount_buckets(refresh);
	RecountForget(refresh->snapshot, refresh->breakdowns);
	CloseBuckets(&refresh->state, refresh->breakdowns, &refresh->result->hours_closed,
				 &refresh->result->days_closed);
	/* parts are joined only once an hour where events still come in */
	CloseBucketsJoinParts(refresh->result->hours_closed > 0 ? (TimeRange){TIME_END, TIME_BEGIN}
															: MergerTouched(refresh->merger));
	refresh->result->groups = MergerGroupsMerged(refresh->merger);
	/* before anything was merged there must be no row, as a restore brings one */
	if (has_state ? memcmp(&refresh->state, &before, sizeof(before)) != 0
				  : refresh->result->groups > 0)
		RollupStateWrite(&refresh->state, has_state);
	refresh->result->new_users = refresh->state.users - before.users;
}

/*
 * Refresh; if a change is given, apply it and refresh again
 */
static void
run_refresh(RefreshResult *result, RefreshChange change, void *arg)
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
	/* in this order, so that waiting for another refresh keeps nobody from locking events */
	RefreshLock();
	LockEventsTable();
	user = ActAsRollupOwner();
	began = MonotonicNow();
	level = NewGUCNestLevel();
	RefreshRestrictPlanner();
	BacklogClaim();
	restored = RestoredUpTo();
	PushActiveSnapshot(GetLatestSnapshot());
	refresh.snapshot = GetActiveSnapshot();
	RestoredCheck(restored, refresh.snapshot);
	refresh_with_snapshot(&refresh);
	if (change != NULL)
	{
		change(refresh.snapshot, arg);
		/* let the snapshot show what was changed */
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
	run_refresh(result, NULL, NULL);
}

void
RefreshAround(RefreshChange change, void *arg)
{
	RefreshResult result;

	run_refresh(&result, change, arg);
}

/*
 * Refresh, and return the result as an SQL function does
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
	values[2] = Int64GetDatum(result.new_users);
	values[3] = Int64GetDatum(result.recounted_rows);
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
 * fi_rebuild(since timestamptz, until timestamptz): NULL is the beginning or the
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
						errmsg("since must be before until: %s is not before %s", text,
							   timestamptz_to_str(to))));
	}
	RefreshLock();
	LockEventsTable();
	RecountMark(BucketStart(from, LEVEL_MINUTE),
				BucketStart(to - 1, LEVEL_MINUTE) + USECS_PER_MINUTE, 0);
	CommandCounterIncrement();
	PG_RETURN_DATUM(refresh_and_return(fcinfo));
}
