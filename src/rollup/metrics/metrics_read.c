/*
 * metrics_read.c
 *
 * Reads what an answer is made of: rows of the rollup, deltas not merged yet, and
 * raw rows where a range cuts a bucket or a bucket is dirty. Each event is in
 * exactly one of these.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "utils/timestamp.h"

#include "rollup/state/recount.h"
#include "rollup/sets/hour_minutes.h"
#include "rollup/metrics/cover_range.h"
#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_read.h"

/*
 * The number of the piece of the range that a time is in; -1 outside of all
 */
static int
time_piece(const TimeGroups *times, TimestampTz ts)
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
 * The tally of a time and a key; NULL is the keys that are counted together
 */
static GroupCount *
tally_of(MetricsRun *question, TimestampTz ts, const char *key, int key_len)
{
	TextMapEntry *entry;
	bool found;

	if (question->kind != GROUP_KEY)
	{
		int piece = time_piece(question->times, ts);

		if (piece < 0)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("%s is outside of the times that are counted",
								   timestamptz_to_str(ts))));
		return &question->tallies[question->times->owners[piece]];
	}
	if (key == NULL)
		return &question->others;
	entry = TextMapAdd(question->keys, (Slice){key, key_len}, &found);
	if (!found)
		entry->pointer = palloc0(sizeof(GroupCount));
	return entry->pointer;
}

static void
add_row(const RollupRow *row, void *arg)
{
	MetricsRun *question = arg;

	GroupCountAddRow(tally_of(question, row->bucket, row->key, row->key_len), row->events,
					 row->unique_users, row->users);
}

/*
 * Add some minutes of a closed hour
 */
static void
add_packed_minutes(const RollupRow *row, void *arg)
{
	MetricsRun *question = arg;
	TimestampTz low = question->packed->low;
	GroupCount *tally;

	if (row->users == (Datum) 0 || row->minutes == (Datum) 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of fast_ingest.rollup has no minutes"),
						errhint("Count the raw rows again with fi_rebuild().")));
	tally = tally_of(question, low, row->key, row->key_len);
	HourMinutesSum(row->users, row->minutes, (int) ((low - row->bucket) / USECS_PER_MINUTE),
				   (int) ((question->packed->high - row->bucket) / USECS_PER_MINUTE),
				   &tally->events, GroupCountUsers(tally));
}

/*
 * Add what a delta counts, if its whole bucket is asked for and not read from
 * raw rows
 */
static void
add_delta(const DeltaRow *row, void *arg)
{
	MetricsRun *question = arg;
	TimestampTz end = row->bucket + BucketWidth(question->breakdown->finest);
	int piece = time_piece(question->times, row->bucket);
	GroupCount *tally;

	if (piece < 0 || end > question->times->bounds[piece + 1] ||
		TimeRangeListHas(question->unknown, row->bucket))
		return;
	if (question->key != NULL && !IsText(row->key, row->key_len, question->key))
		return;
	tally = tally_of(question, row->bucket, row->key, row->key_len);
	tally->events += row->events;
	(void) GroupCountUsers(tally);
	for (int i = 0; i < row->nusers; i++)
		UnresolvedUsersAdd(&question->users, tally, row->hashes[row->users[i]]);
	question->has_deltas[piece] = true;
	question->sources.deltas++;
}

static void
add_raw(const ScannedEvent *row, void *arg)
{
	MetricsRun *question = arg;
	GroupCount *tally = tally_of(question, row->ts, row->key, row->key_len);

	tally->events++;
	(void) GroupCountUsers(tally);
	if (row->has_user)
		UnresolvedUsersAdd(&question->users, tally, row->user);
	question->sources.raw_rows++;
}

/*
 * Is a group just one piece and this one closed hour, whose users have been counted?
 */
static bool
is_counted_hour(const MetricsRun *question, int piece)
{
	const TimeGroups *times = question->times;
	TimestampTz low = times->bounds[piece];

	return question->kind != GROUP_KEY && question->key == NULL && !question->has_deltas[piece] &&
		   times->groups[times->owners[piece]].npieces == 1 &&
		   times->bounds[piece + 1] == low + USECS_PER_HOUR &&
		   BucketStart(low, LEVEL_HOUR) == low && low < question->state.hours_closed &&
		   !TimeRangeListTouches(question->unknown, low, low + USECS_PER_HOUR);
}

static int64
read_rows(MetricsRun *question, int breakdown, BucketLevel level, const TimeRangeList *spans)
{
	int64 n = 0;

	for (int i = 0; i < spans->n; i++)
		n += RollupRows(breakdown, level, question->event_name, question->key, spans->ranges[i],
						add_row, question);
	return n;
}

static void
sum_events(const RollupRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

static void
sum_delta(const DeltaRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

/*
 * How many events the rollup has in rows of a breakdown that touch a span of whole
 * buckets
 */
static int64
events_between(const MetricsRun *question, int breakdown, BucketLevel finest, TimeRange span)
{
	static const TimeRangeList nothing = {0};
	RangeCover plan = {0};
	int64 events = 0;

	RangeCoverAdd(&plan, span.low, span.high, finest, &question->state, &nothing);
	for (int i = 0; i < plan.days.n; i++)
		(void) RollupRows(breakdown, LEVEL_DAY, question->event_name, NULL, plan.days.ranges[i],
						  sum_events, &events);
	for (int i = 0; i < plan.hours.n; i++)
		(void) RollupRows(breakdown, LEVEL_HOUR, question->event_name, NULL, plan.hours.ranges[i],
						  sum_events, &events);
	for (int i = 0; i < plan.packed.n; i++)
		(void) RollupRows(breakdown, LEVEL_HOUR, question->event_name, NULL,
						  (TimeRange){BucketStart(plan.packed.ranges[i].low, LEVEL_HOUR),
									  plan.packed.ranges[i].high},
						  sum_events, &events);
	for (int i = 0; i < plan.minutes.n; i++)
		(void) RollupRows(breakdown, LEVEL_MINUTE, question->event_name, NULL,
						  plan.minutes.ranges[i], sum_events, &events);
	DeltaRows(question->users.snapshot, breakdown, question->event_name, span, sum_delta, &events);
	return events;
}

/*
 * The rollup outlives its raw rows: are those there that an answer needs? No
 * row of the rollup where there is no partition is a yes, too.
 */
static void
check_raw_rows(MetricsRun *question, const TimeRangeList *raw)
{
	BucketLevel finest = question->breakdown->finest;
	const TimeRangeList *without;

	if (raw->n == 0)
		return;
	without = TimeRangeListDifference(raw, EventsCoverage(question->users.snapshot));
	for (int i = 0; i < without->n; i++)
	{
		TimestampTz low = BucketStart(without->ranges[i].low, finest);
		TimestampTz high = BucketStart(without->ranges[i].high - 1, finest) + BucketWidth(finest);

		if (events_between(question, question->breakdown->id, finest, (TimeRange){low, high}) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("raw events before %s are needed and have been dropped",
							timestamptz_to_str(without->ranges[i].high)),
					 errhint("Ask for a range of whole %s.", finest == LEVEL_DAY	? "days (UTC)"
															 : finest == LEVEL_HOUR ? "hours"
																					: "minutes")));
	}
}

/*
 * A breakdown that was added after rows had gone does not know them: channels do
 */
static void
check_breakdown(const MetricsRun *question)
{
	TimeRangeList range = {0};
	const TimeRangeList *missing;

	TimeRangeListAdd(&range, question->range.low, question->range.high);
	missing = TimeRangeListIntersection(RecountImpossible(question->users.snapshot,
														  question->breakdown->id,
														  question->breakdown->finest),
										&range);
	for (int i = 0; i < missing->n; i++)
	{
		TimestampTz high = missing->ranges[i].high;
		TimeRange minutes = {BucketStart(missing->ranges[i].low, LEVEL_MINUTE),
							 BucketStart(high - 1, LEVEL_MINUTE) + USECS_PER_MINUTE};

		if (events_between(question, BREAKDOWN_CHANNEL, LEVEL_MINUTE, minutes) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("raw events before %s are needed and have been dropped",
							timestamptz_to_str(high)),
					 errdetail("Breakdown \"%s\" was added after that.", question->breakdown->name),
					 errhint("Ask for other times.")));
	}
}

void
MetricsRunRead(MetricsRun *question)
{
	bool total = question->kind != GROUP_KEY && question->key == NULL;
	int breakdown = question->breakdown->id;
	RangeCover plan = {0};
	TimeRangeList counted = {0};

	check_breakdown(question);
	if (question->raw_only)
		TimeRangeListAdd(&plan.raw, question->times->bounds[0],
						 question->times->bounds[question->times->npieces]);
	else
	{
		DeltaRows(question->users.snapshot, breakdown, question->event_name, question->range,
				  add_delta, question);
		for (int i = 0; i < question->times->npieces; i++)
		{
			if (is_counted_hour(question, i))
				TimeRangeListAdd(&counted, question->times->bounds[i],
								 question->times->bounds[i + 1]);
			else
				RangeCoverAdd(&plan, question->times->bounds[i], question->times->bounds[i + 1],
							  question->breakdown->finest, &question->state, question->unknown);
		}
	}
	question->sources.hours += read_rows(question, BREAKDOWN_TOTAL, LEVEL_HOUR, &counted);
	question->sources.days +=
		read_rows(question, total ? BREAKDOWN_TOTAL : breakdown, LEVEL_DAY, &plan.days);
	question->sources.hours += read_rows(question, breakdown, LEVEL_HOUR, &plan.hours);
	question->sources.minutes += read_rows(question, breakdown, LEVEL_MINUTE, &plan.minutes);
	for (int i = 0; i < plan.packed.n; i++)
	{
		TimestampTz hour = BucketStart(plan.packed.ranges[i].low, LEVEL_HOUR);

		question->packed = &plan.packed.ranges[i];
		question->sources.minutes +=
			RollupRows(breakdown, LEVEL_HOUR, question->event_name, question->key,
					   (TimeRange){hour, hour + 1}, add_packed_minutes, question);
	}
	check_raw_rows(question, &plan.raw);
	for (int i = 0; i < plan.raw.n; i++)
		ScanEvents(question->breakdown, question->query->event_name, question->query->channel,
				   plan.raw.ranges[i], add_raw, question);
	UnresolvedUsersResolve(&question->users);
}
