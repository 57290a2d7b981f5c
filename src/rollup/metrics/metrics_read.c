/*
 * metrics_read.c
 *
 * Reads and counts what an answer is made of: rows of the rollup, deltas that are not merged
 * yet, and raw rows. Each event is counted from exactly one of these: see metrics.c.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/grow_array.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/breakdown/scan_events.h"
#include "rollup/sets/hour_minutes.h"
#include "rollup/state/recount.h"

/* Most ranges of minutes of an hour that are added one by one, without unpacking all minutes. */
#define MAX_SUMMED 2

int
MetricsRunPiece(const MetricsRun *run, TimestampTz ts)
{
	const TimeGroups *times = run->times;
	int low = 0;
	int high = times->npieces;

	if (high == 0 || ts < times->bounds[0] || ts >= times->bounds[high])
		return -1;
	while (high - low > 1)
	{
		int middle = (low + high) / 2;

		if (times->bounds[middle] <= ts)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/*
 * Find the counts of the series that an event_name and a key belong to. NULL stands for the names
 * or keys that are counted together.
 */
static GroupCount *
find_series(MetricsRun *run, Slice event_name, Slice key)
{
	Slice name = run->by == BY_EVENT ? event_name : key;
	TextMapEntry *entry;
	bool found;

	if (run->by == BY_NONE || name.data == NULL ||
		(run->kept != NULL && !TextMapHas(run->kept, name)))
		return run->total;
	entry = TextMapAdd(run->series, name, &found);
	if (!found)
		entry->pointer = palloc_extended(Max(run->times->n, 1) * sizeof(GroupCount),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return entry->pointer;
}

GroupCount *
MetricsRunFind(MetricsRun *run, TimestampTz ts, Slice event_name, Slice key)
{
	int piece = MetricsRunPiece(run, ts);

	if (piece < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("%s is outside of the times that are counted", timestamptz_to_str(ts))));
	return &find_series(run, event_name, key)[run->times->owners[piece]];
}

static GroupCount *
find_row_count(MetricsRun *run, TimestampTz ts, const RollupRow *row)
{
	return MetricsRunFind(run, ts, (Slice){row->event_name, row->event_name_len},
						  (Slice){row->key, row->key_len});
}

/*
 * Add the events of a row, and remember where its users are
 */
static void
add_events_of_row(MetricsRun *run, GroupCount *count, const RollupRow *row)
{
	count->events += row->events;
	run->rows =
		GrowArray(CurrentMemoryContext, run->rows, run->nrows, &run->row_room, sizeof(CountedRow));
	run->rows[run->nrows++] = (CountedRow){count, row->place};
}

static void
add_rollup_row(const RollupRow *row, void *arg)
{
	MetricsRun *run = arg;
	GroupCount *count = find_row_count(run, row->bucket, row);

	if (run->limit > 0)
		add_events_of_row(run, count, row);
	else
		GroupCountAddRow(count, row->events, row->unique_users, row->users);
}

/*
 * Add the users of a row, whose events are counted
 */
static void
add_users_of_row(const RollupRow *row, void *arg)
{
	GroupCountAddRow(find_row_count(arg, row->bucket, row), 0, row->unique_users, row->users);
}

/*
 * All events are counted: read the users of the largest groups
 */
static void
read_users_of_largest(MetricsRun *run)
{
	ItemPointerData *places =
		palloc_extended(Max(run->nrows, 1) * sizeof(ItemPointerData), MCXT_ALLOC_HUGE);
	int n = 0;

	MetricsRunMarkLargest(run);
	for (int i = 0; i < run->nrows; i++)
		if (run->rows[i].count->is_answered)
			places[n++] = run->rows[i].place;
	RollupRowsAt(n, places, add_users_of_row, run);
}

/*
 * Add several ranges of minutes of a closed hour, which is unpacked once for all of them
 */
static void
add_unpacked_minutes(MetricsRun *run, const RollupRow *row)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "fast_ingest minutes", ALLOCSET_DEFAULT_SIZES);
	HourMinutes *hour;

	MemoryContextSwitchTo(context);
	hour = HourMinutesRead(row->users, row->minutes);
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < run->npacked; i++)
		for (TimestampTz ts = run->packed[i].low; ts < run->packed[i].high; ts += USECS_PER_MINUTE)
		{
			GroupCount *count;
			int64 events;
			UserSet *users;

			HourMinutesGet(hour, (int) ((ts - row->bucket) / USECS_PER_MINUTE), &events, &users);
			if (events == 0 && users == NULL)
				continue;
			count = find_row_count(run, ts, row);
			count->events += events;
			if (users != NULL)
				UserSetUnion(GroupCountUsers(count), users);
			else
				(void) GroupCountUsers(count);
		}
	MemoryContextDelete(context);
}

/*
 * Add the minutes of a closed hour, whose row this is, that are being read
 */
static void
add_packed_minutes(const RollupRow *row, void *arg)
{
	MetricsRun *run = arg;

	if (row->users == (Datum) 0 || row->minutes == (Datum) 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of fast_ingest.rollup has no minutes"),
						errhint("Count the raw rows again with fi_rebuild().")));
	if (run->npacked > MAX_SUMMED)
	{
		add_unpacked_minutes(run, row);
		return;
	}
	for (int i = 0; i < run->npacked; i++)
	{
		TimeRange range = run->packed[i];
		GroupCount *count = find_row_count(run, range.low, row);

		HourMinutesSum(row->users, row->minutes,
					   (int) ((range.low - row->bucket) / USECS_PER_MINUTE),
					   (int) ((range.high - row->bucket) / USECS_PER_MINUTE), &count->events,
					   GroupCountUsers(count));
	}
}

bool
MetricsRunHasTarget(const MetricsRun *run, const DeltaRow *row)
{
	for (int i = 0; i < run->ntargets; i++)
	{
		const RunTarget *target = &run->targets[i];

		if ((target->scope == NULL || IsText(row->scope, row->scope_len, target->scope)) &&
			(target->key == NULL || IsText(row->key, row->key_len, target->key)))
			return true;
	}
	return run->ntargets == 0;
}

/*
 * Add a group of a delta, if the query asks for its whole bucket, or a part of it whose events
 * the delta tells, and raw rows are not read instead
 */
static void
add_delta(const DeltaRow *row, void *arg)
{
	MetricsRun *run = arg;
	TimestampTz start;
	TimestampTz end;
	int piece;

	if (!MetricsRunHasTarget(run, row) || TimeRangeListHas(run->raw_ranges, row->bucket))
		return;
	/* the delta's buckets may be finer than those of the rollup are */
	start = BreakdownBucketStart(run->breakdown, row->bucket);
	end = start + BreakdownWidth(run->breakdown, row->bucket);
	piece = MetricsRunPiece(run, row->bucket);
	if (piece < 0 || start < run->times->bounds[piece] || end > run->times->bounds[piece + 1])
	{
		if (run->breakdown->keeps_times)
			MetricsRunAddCutDelta(run, row);
		return;
	}
	GroupCountAddDelta(MetricsRunFind(run, row->bucket,
									  (Slice){row->event_name, row->event_name_len},
									  (Slice){row->key, row->key_len}),
					   row, &run->users);
	run->has_deltas[piece] = true;
	run->sources.deltas++;
}

static void
add_event(const ScannedEvent *event, void *arg)
{
	MetricsRun *run = arg;

	GroupCountAddEvent(MetricsRunFind(run, event->ts,
									  (Slice){event->event_name, event->event_name_len},
									  (Slice){event->key, event->key_len}),
					   event, &run->users);
	run->sources.raw_rows++;
}

/*
 * Are all events of the event_names counted in one, so that rows of totals tell their number?
 */
static bool
has_totals(const MetricsRun *run)
{
	return run->by != BY_KEY && run->ntargets == 0;
}

/*
 * The breakdown that has the totals
 */
static int
find_totals(const MetricsRun *run)
{
	return run->by == BY_NONE && run->event_name == NULL ? BREAKDOWN_ALL_NAMES : BREAKDOWN_TOTAL;
}

/*
 * Does an hour's total, which has a number of users but no set of them, answer a group? It
 * does if the group is one piece, which is a closed hour, and nothing is added to it.
 */
static bool
is_answered_by_total(const MetricsRun *run, int piece)
{
	const TimeGroups *times = run->times;
	TimestampTz low = times->bounds[piece];

	return has_totals(run) && run->kept == NULL && !run->unites && !run->has_deltas[piece] &&
		   times->groups[times->owners[piece]].npieces == 1 &&
		   times->bounds[piece + 1] == low + USECS_PER_HOUR &&
		   BucketStart(low, LEVEL_HOUR) == low && low < run->state.hours_closed &&
		   !TimeRangeListTouches(run->raw_ranges, low, low + USECS_PER_HOUR);
}

void
MetricsRunCover(const MetricsRun *run, TimeRange range, RangeCover *cover)
{
	RangeCoverAdd(cover, range.low, range.high, run->breakdown, &run->state, run->raw_ranges);
}

/*
 * Choose what each piece is read from: the total of an hour, or what covers the piece. The
 * deltas have been read.
 */
static void
cover_pieces(const MetricsRun *run, RangeCover *cover, TimeRangeList *hour_totals)
{
	for (int i = 0; i < run->times->npieces; i++)
	{
		TimestampTz low = run->times->bounds[i];
		TimestampTz high = run->times->bounds[i + 1];

		if (is_answered_by_total(run, i))
			TimeRangeListAdd(hour_totals, low, high);
		else
			MetricsRunCover(run, (TimeRange){low, high}, cover);
	}
}

/*
 * Read the rows of totals, of days and of hours
 */
static void
read_totals(MetricsRun *run, const TimeRangeList *days, const TimeRangeList *hours)
{
	int totals = find_totals(run);
	RollupSelection rows = {.breakdown = totals,
							.event_name = totals == BREAKDOWN_ALL_NAMES ? "" : run->event_name};

	run->sources.days += RollupRowsOfLevel(&rows, LEVEL_DAY, days, add_rollup_row, run);
	run->sources.hours += RollupRowsOfLevel(&rows, LEVEL_HOUR, hours, add_rollup_row, run);
}

/*
 * Read rows of days. If names are not told apart, those of all names are read of closed days
 */
static void
read_days(MetricsRun *run, const TimeRangeList *days, RollupSelection rows)
{
	TimeRange past = {TIME_BEGIN, run->state.days_closed};
	TimeRangeList closed = {1, 1, &past};

	if (run->event_name == NULL && run->by != BY_EVENT)
	{
		RollupSelection all_names = rows;

		all_names.breakdown = BREAKDOWN_OF_ALL_NAMES(rows.breakdown);
		all_names.event_name = "";
		run->sources.days += RollupRowsOfLevel(
			&all_names, LEVEL_DAY, TimeRangeListIntersection(days, &closed), add_rollup_row, run);
		days = TimeRangeListDifference(days, &closed);
	}
	run->sources.days += RollupRowsOfLevel(&rows, LEVEL_DAY, days, add_rollup_row, run);
}

/*
 * Read the rows of the breakdown that cover the range, of one target or of all keys
 */
static void
read_target(MetricsRun *run, const RangeCover *cover, const RunTarget *target)
{
	MetricsSources *sources = &run->sources;
	RollupSelection rows = {.breakdown = run->breakdown->id,
							.event_name = run->event_name,
							.scope = target->scope,
							.key = target->key};

	if (!has_totals(run))
		read_days(run, &cover->days, rows);
	sources->hours += RollupRowsOfLevel(&rows, LEVEL_HOUR, &cover->hours, add_rollup_row, run);
	sources->minutes +=
		RollupRowsOfLevel(&rows, LEVEL_MINUTE, &cover->minutes, add_rollup_row, run);
	rows.level = LEVEL_HOUR;
	for (int i = 0; i < cover->packed.n; i += run->npacked)
	{
		TimestampTz hour = BucketStart(cover->packed.ranges[i].low, LEVEL_HOUR);

		/* a row of an hour is read once, however many groups it has minutes of */
		run->packed = &cover->packed.ranges[i];
		for (run->npacked = 1; i + run->npacked < cover->packed.n; run->npacked++)
			if (run->packed[run->npacked].low >= hour + USECS_PER_HOUR)
				break;
		rows.range = (TimeRange){hour, hour + 1};
		sources->minutes += run->npacked * RollupRows(&rows, add_packed_minutes, run);
	}
}

static void
read_rollup_rows(MetricsRun *run, const RangeCover *cover, const TimeRangeList *hour_totals)
{
	static const RunTarget anything = {0};

	if (has_totals(run))
		read_totals(run, &cover->days, hour_totals);
	for (int i = 0; i < Max(run->ntargets, 1); i++)
		read_target(run, cover, run->ntargets > 0 ? &run->targets[i] : &anything);
}

static void
read_raw_rows(MetricsRun *run, const TimeRangeList *raw)
{
	/* without keys an event counts once, even if it has several of them, or none */
	const Breakdown *breakdown = run->by == BY_KEY ? run->breakdown : NULL;

	MetricsRunRequireRawRows(run, raw);
	for (int i = 0; i < raw->n; i++)
	{
		EventSelection selection = {run->query->event_name, run->nconditions, run->conditions,
									raw->ranges[i]};

		/* what is left over of a range that the rollup answers is too short for workers */
		if (run->all_raw)
			ScanEventsInParallel(breakdown, &selection, add_event, run);
		else
			ScanEvents(breakdown, &selection, add_event, run);
	}
}

void
MetricsRunRead(MetricsRun *run)
{
	RangeCover cover = {.has_times = run->breakdown->keeps_times};
	TimeRangeList hour_totals = {0};
	const TimeGroups *times = run->times;

	if (run->all_raw)
		TimeRangeListAdd(&cover.raw, times->bounds[0], times->bounds[times->npieces]);
	else
	{
		/* a bucket that the range cuts begins before it */
		DeltaSelection deltas = {
			.breakdown = run->breakdown->id,
			.event_name = run->event_name,
			.range = {BreakdownBucketStart(run->breakdown, run->range.low), run->range.high}};

		MetricsRunRequireBreakdown(run);
		MetricsRunCheckCuts(run);
		if (run->ntargets == 1)
		{
			deltas.scope = run->targets[0].scope;
			deltas.key = run->targets[0].key;
		}
		UnresolvedUsersOfDeltas(&run->users, &deltas, add_delta, run);
		cover_pieces(run, &cover, &hour_totals);
		read_rollup_rows(run, &cover, &hour_totals);
		MetricsRunReadCuts(run, &cover.cut);
	}
	read_raw_rows(run, &cover.raw);
	if (run->limit > 0)
		read_users_of_largest(run);
	UnresolvedUsersResolve(&run->users);
}
