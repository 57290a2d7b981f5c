/*
 * metrics_read.c
 *
 * Reads and counts what an answer is made of: rows of the rollup, deltas that are not merged
 * yet, and raw rows. Each event is counted from exactly one of these: see metrics.c.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/timestamp.h"

#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_read.h"
#include "rollup/metrics/cover_range.h"
#include "rollup/sets/hour_minutes.h"
#include "rollup/state/recount.h"

/*
 * Find the number of the piece that a time is in; -1 if it is in none
 */
static int
find_piece(const TimeGroups *times, TimestampTz ts)
{
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
 * Find the count of the group that a time and a key belong to. The key NULL stands for the keys
 * that are counted together.
 */
static GroupCount *
find_count(MetricsRun *run, TimestampTz ts, const char *key, int key_len)
{
	TextMapEntry *entry;
	bool found;

	if (run->kind != GROUP_KEY)
	{
		int piece = find_piece(run->times, ts);

		if (piece < 0)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("%s is outside of the times that are counted",
								   timestamptz_to_str(ts))));
		return &run->time_counts[run->times->owners[piece]];
	}
	if (key == NULL)
		return &run->others;
	entry = TextMapAdd(run->keys, (Slice){key, key_len}, &found);
	if (!found)
		entry->pointer = palloc0(sizeof(GroupCount));
	return entry->pointer;
}

static void
add_rollup_row(const RollupRow *row, void *arg)
{
	MetricsRun *run = arg;

	GroupCountAddRow(find_count(run, row->bucket, row->key, row->key_len), row->events,
					 row->unique_users, row->users);
}

/*
 * Add some minutes of a closed hour, whose row this is
 */
static void
add_packed_minutes(const RollupRow *row, void *arg)
{
	MetricsRun *run = arg;
	TimestampTz low = run->packed->low;
	GroupCount *count;

	if (row->users == (Datum) 0 || row->minutes == (Datum) 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of fast_ingest.rollup has no minutes"),
						errhint("Count the raw rows again with fi_rebuild().")));
	count = find_count(run, low, row->key, row->key_len);
	HourMinutesSum(row->users, row->minutes, (int) ((low - row->bucket) / USECS_PER_MINUTE),
				   (int) ((run->packed->high - row->bucket) / USECS_PER_MINUTE), &count->events,
				   GroupCountUsers(count));
}

/*
 * Add a group of a delta, if the query asks for its whole bucket, and raw rows are not read
 * instead
 */
static void
add_delta(const DeltaRow *row, void *arg)
{
	MetricsRun *run = arg;
	TimestampTz end = row->bucket + BucketWidth(run->breakdown->finest);
	int piece = find_piece(run->times, row->bucket);

	if (piece < 0 || end > run->times->bounds[piece + 1] ||
		TimeRangeListHas(run->raw_ranges, row->bucket))
		return;
	if (run->key != NULL && !IsText(row->key, row->key_len, run->key))
		return;
	GroupCountAddDelta(find_count(run, row->bucket, row->key, row->key_len), row, &run->users);
	run->has_deltas[piece] = true;
	run->sources.deltas++;
}

static void
add_event(const ScannedEvent *event, void *arg)
{
	MetricsRun *run = arg;

	GroupCountAddEvent(find_count(run, event->ts, event->key, event->key_len), event, &run->users);
	run->sources.raw_rows++;
}

static void
add_to_sum(const RollupRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

static void
add_delta_to_sum(const DeltaRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

/*
 * Call a visitor for the rows of a level in some ranges; returns how many there are
 */
static int64
visit_level(const MetricsRun *run, int breakdown, BucketLevel level, const char *key,
			const TimeRangeList *ranges, RollupRowVisitor visitor, void *arg)
{
	int64 n = 0;

	for (int i = 0; i < ranges->n; i++)
		n += RollupRows(breakdown, level, run->event_name, key, ranges->ranges[i], visitor, arg);
	return n;
}

/*
 * Sum the events that the rollup and deltas have for a breakdown in a range of whole buckets.
 * A row of an hour that reaches into the range counts as a whole: zero is exact, and that is
 * what callers ask for.
 */
static int64
sum_known_events(const MetricsRun *run, int breakdown, BucketLevel finest, TimeRange range)
{
	static const TimeRangeList no_ranges = {0};
	RangeCover cover = {0};
	int64 events = 0;

	RangeCoverAdd(&cover, range.low, range.high, finest, &run->state, &no_ranges);
	(void) visit_level(run, breakdown, LEVEL_DAY, NULL, &cover.days, add_to_sum, &events);
	(void) visit_level(run, breakdown, LEVEL_HOUR, NULL, &cover.hours, add_to_sum, &events);
	(void) visit_level(run, breakdown, LEVEL_MINUTE, NULL, &cover.minutes, add_to_sum, &events);
	for (int i = 0; i < cover.packed.n; i++)
		(void) RollupRows(breakdown, LEVEL_HOUR, run->event_name, NULL,
						  (TimeRange){BucketStart(cover.packed.ranges[i].low, LEVEL_HOUR),
									  cover.packed.ranges[i].high},
						  add_to_sum, &events);
	DeltaRows(run->users.snapshot, breakdown, run->event_name, range, add_delta_to_sum, &events);
	return events;
}

/*
 * A breakdown that was added after raw rows had been dropped does not know their events. The
 * channels do: an error if they have counted any in the range.
 */
static void
require_breakdown(const MetricsRun *run)
{
	TimeRangeList range = {0};
	const TimeRangeList *missing;

	TimeRangeListAdd(&range, run->range.low, run->range.high);
	missing = TimeRangeListIntersection(
		RecountImpossible(run->users.snapshot, run->breakdown->id, run->breakdown->finest), &range);
	for (int i = 0; i < missing->n; i++)
	{
		TimestampTz high = missing->ranges[i].high;
		TimeRange minutes = {BucketStart(missing->ranges[i].low, LEVEL_MINUTE),
							 BucketEnd(high, LEVEL_MINUTE)};

		if (sum_known_events(run, BREAKDOWN_CHANNEL, LEVEL_MINUTE, minutes) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("raw events before %s are needed and have been dropped",
							timestamptz_to_str(high)),
					 errdetail("Breakdown \"%s\" was added after that.", run->breakdown->name),
					 errhint("Ask for other times.")));
	}
}

/*
 * The rollup keeps what it counted when raw rows are dropped. Raise an error if raw rows are
 * needed at times without a partition, unless the rollup has counted nothing there.
 */
static void
require_raw_rows(const MetricsRun *run, const TimeRangeList *raw)
{
	BucketLevel finest = run->breakdown->finest;
	const TimeRangeList *missing;

	if (raw->n == 0)
		return;
	missing = TimeRangeListDifference(raw, EventsCoverage(run->users.snapshot));
	for (int i = 0; i < missing->n; i++)
	{
		TimestampTz low = BucketStart(missing->ranges[i].low, finest);
		TimestampTz high = BucketEnd(missing->ranges[i].high, finest);

		if (sum_known_events(run, run->breakdown->id, finest, (TimeRange){low, high}) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("raw events before %s are needed and have been dropped",
							timestamptz_to_str(missing->ranges[i].high)),
					 TimeRangeListTouches(run->raw_ranges, low, high)
						 ? errhint("Some were changed before that. Ask again in a new transaction, "
								   "after fi_refresh().")
						 : errhint("Ask for a range of whole %s.",
								   finest == LEVEL_DAY	  ? "days (UTC)"
								   : finest == LEVEL_HOUR ? "hours"
														  : "minutes")));
	}
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

	return run->kind != GROUP_KEY && run->key == NULL && !run->has_deltas[piece] &&
		   times->groups[times->owners[piece]].npieces == 1 &&
		   times->bounds[piece + 1] == low + USECS_PER_HOUR &&
		   BucketStart(low, LEVEL_HOUR) == low && low < run->state.hours_closed &&
		   !TimeRangeListTouches(run->raw_ranges, low, low + USECS_PER_HOUR);
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
			RangeCoverAdd(cover, low, high, run->breakdown->finest, &run->state, run->raw_ranges);
	}
}

/*
 * Read the rows of the rollup that cover the range
 */
static void
read_rollup_rows(MetricsRun *run, const RangeCover *cover, const TimeRangeList *hour_totals)
{
	int breakdown = run->breakdown->id;
	/* what all channels add up to has rows of its own */
	int of_days = run->kind != GROUP_KEY && run->key == NULL ? BREAKDOWN_TOTAL : breakdown;
	MetricsSources *sources = &run->sources;

	sources->days +=
		visit_level(run, of_days, LEVEL_DAY, run->key, &cover->days, add_rollup_row, run);
	sources->hours +=
		visit_level(run, BREAKDOWN_TOTAL, LEVEL_HOUR, run->key, hour_totals, add_rollup_row, run);
	sources->hours +=
		visit_level(run, breakdown, LEVEL_HOUR, run->key, &cover->hours, add_rollup_row, run);
	sources->minutes +=
		visit_level(run, breakdown, LEVEL_MINUTE, run->key, &cover->minutes, add_rollup_row, run);
	for (int i = 0; i < cover->packed.n; i++)
	{
		TimestampTz hour = BucketStart(cover->packed.ranges[i].low, LEVEL_HOUR);

		run->packed = &cover->packed.ranges[i];
		sources->minutes += RollupRows(breakdown, LEVEL_HOUR, run->event_name, run->key,
									   (TimeRange){hour, hour + 1}, add_packed_minutes, run);
	}
}

void
MetricsRunRead(MetricsRun *run)
{
	RangeCover cover = {0};
	TimeRangeList hour_totals = {0};

	require_breakdown(run);
	if (run->all_raw)
		TimeRangeListAdd(&cover.raw, run->times->bounds[0],
						 run->times->bounds[run->times->npieces]);
	else
	{
		DeltaRows(run->users.snapshot, run->breakdown->id, run->event_name, run->range, add_delta,
				  run);
		cover_pieces(run, &cover, &hour_totals);
	}
	read_rollup_rows(run, &cover, &hour_totals);
	require_raw_rows(run, &cover.raw);
	for (int i = 0; i < cover.raw.n; i++)
		ScanEvents(run->breakdown, run->query->event_name, run->query->channel, cover.raw.ranges[i],
				   add_event, run);
	UnresolvedUsersResolve(&run->users);
}
