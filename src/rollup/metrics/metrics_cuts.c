/*
 * metrics_cuts.c
 *
 * Counts parts of minutes. Where rows and deltas have the times of their events, a range may
 * begin and end at any microsecond without a look at raw rows. A minute whose rows have not all
 * times (of more events than are kept) is read from raw rows as a whole.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "rollup/sets/hour_minutes.h"

/* A part of a minute that is being counted. */
typedef struct
{
	MetricsRun *run;
	TimeRange part;
	bool complete; /* all rows so far have all times */
} Cut;

/*
 * Call a visitor for the rows that have a minute: rows of minutes, or of its hour if that is
 * closed
 */
static int64
visit_minute(MetricsRun *run, TimestampTz minute, RollupRowVisitor visitor, Cut *cut)
{
	bool closed = minute < run->state.hours_closed;
	TimestampTz bucket = closed ? BucketStart(minute, LEVEL_HOUR) : minute;
	RollupSelection rows = {.breakdown = run->breakdown->id,
							.level = closed ? LEVEL_HOUR : LEVEL_MINUTE,
							.event_name = run->event_name,
							.range = {bucket, bucket + 1}};
	int64 n = 0;

	if (run->ntargets == 0)
		return RollupRows(&rows, visitor, cut);
	for (int i = 0; i < run->ntargets; i++)
	{
		rows.scope = run->targets[i].scope;
		rows.key = run->targets[i].key;
		n += RollupRows(&rows, visitor, cut);
	}
	return n;
}

static bool
is_closed_hour(const RollupRow *row, const Cut *cut)
{
	return row->bucket < cut->run->state.hours_closed;
}

/*
 * The number of the minute in its hour
 */
static int
minute_of_hour(TimestampTz ts)
{
	return (int) ((ts - BucketStart(ts, LEVEL_HOUR)) / USECS_PER_MINUTE);
}

static void
check_row(const RollupRow *row, void *arg)
{
	Cut *cut = arg;

	if (row->minutes == (Datum) 0)
		cut->complete = false;
	else if (is_closed_hour(row, cut))
		cut->complete &= HourMinutesHasTimes(row->minutes, minute_of_hour(cut->part.low));
	else
		cut->complete &= TimesCount(row->minutes) == row->events;
}

/*
 * Add the minute of a bound to the list, if the bound cuts it and rows there have not all times
 */
static void
check_bound(MetricsRun *run, TimestampTz bound, TimeRangeList *untimed)
{
	TimestampTz minute = BucketStart(bound, LEVEL_MINUTE);
	Cut cut = {run, {minute, minute + USECS_PER_MINUTE}, true};

	if (minute == bound || TimeRangeListHas(run->raw_ranges, minute) ||
		TimeRangeListHas(untimed, minute))
		return;
	(void) visit_minute(run, minute, check_row, &cut);
	if (!cut.complete)
		TimeRangeListAdd(untimed, cut.part.low, cut.part.high);
}

void
MetricsRunCheckCuts(MetricsRun *run)
{
	TimeRangeList untimed = {0};

	if (!run->breakdown->keeps_times || run->all_raw || run->times->npieces == 0)
		return;
	for (int i = 0; i <= run->times->npieces; i++)
		check_bound(run, run->times->bounds[i], &untimed);
	if (untimed.n > 0)
		run->raw_ranges = TimeRangeListUnion(run->raw_ranges, &untimed);
}

void
MetricsRunAddCutDelta(MetricsRun *run, const DeltaRow *row)
{
	const TimestampTz *bounds = run->times->bounds;
	int npieces = run->times->npieces;
	TimestampTz end = row->bucket + USECS_PER_MINUTE;
	int piece;

	if (npieces == 0 || row->bucket >= bounds[npieces] || end <= bounds[0] || row->offsets == NULL)
		return;
	for (piece = Max(MetricsRunPiece(run, row->bucket), 0); piece < npieces && bounds[piece] < end;
		 piece++)
	{
		TimestampTz low = Max(bounds[piece], row->bucket);
		TimestampTz high = Min(bounds[piece + 1], end);

		GroupCountAddDeltaPart(
			MetricsRunFind(run, low, (Slice){row->event_name, row->event_name_len},
						   (Slice){row->key, row->key_len}),
			row, (uint32) (low - row->bucket), (uint32) (high - row->bucket), &run->users);
	}
	run->sources.deltas++;
}

static void
add_row(const RollupRow *row, void *arg)
{
	const Cut *cut = arg;
	TimestampTz minute = BucketStart(cut->part.low, LEVEL_MINUTE);
	uint32 low = (uint32) (cut->part.low - minute);
	uint32 high = (uint32) (cut->part.high - minute);
	GroupCount *count =
		MetricsRunFind(cut->run, cut->part.low, (Slice){row->event_name, row->event_name_len},
					   (Slice){row->key, row->key_len});

	if (is_closed_hour(row, cut))
		count->events += HourMinutesCut(row->users, row->minutes, minute_of_hour(minute), low, high,
										GroupCountUsers(count));
	else
		count->events += TimesCut(row->minutes, low, high, GroupCountUsers(count));
}

void
MetricsRunReadCuts(MetricsRun *run, const TimeRangeList *cuts)
{
	for (int i = 0; i < cuts->n; i++)
	{
		Cut cut = {run, cuts->ranges[i], true};

		run->sources.minutes +=
			visit_minute(run, BucketStart(cut.part.low, LEVEL_MINUTE), add_row, &cut);
	}
}
