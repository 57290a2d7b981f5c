/*
 * seen_times.c
 *
 * Finds out when events were first and last.
 */
#include "postgres.h"

#include "rollup/metrics/seen_times.h"

#include "utils/timestamp.h"

#include "rollup/sets/hour_minutes.h"

SeenTimes
SeenTimesNone(void)
{
	return (SeenTimes){.first = DT_NOEND,
					   .last = DT_NOBEGIN,
					   .first_bucket = {DT_NOEND, 0},
					   .last_bucket = {DT_NOBEGIN, 0}};
}

void
SeenTimesAdd(SeenTimes *seen, TimestampTz first, TimestampTz last)
{
	seen->first = Min(seen->first, first);
	seen->last = Max(seen->last, last);
}

void
SeenTimesAddBucket(SeenTimes *seen, TimestampTz ts, int64 width)
{
	if (ts < seen->first_bucket.ts)
		seen->first_bucket = (SeenBucket){ts, width};
	if (ts > seen->last_bucket.ts)
		seen->last_bucket = (SeenBucket){ts, width};
}

/*
 * Add a minute in which an hour's row has events
 */
static void
add_packed(SeenTimes *seen, const Breakdown *breakdown, const RollupRow *row, int minute,
		   TimeRange range)
{
	TimestampTz ts = row->bucket + minute * USECS_PER_MINUTE;
	uint32 low = (uint32) (Max(range.low, ts) - ts);
	uint32 high = (uint32) (Min(range.high, ts + USECS_PER_MINUTE) - ts);
	uint32 first;
	uint32 last;

	if (!breakdown->keeps_times || !HourMinutesHasTimes(row->minutes, minute))
		SeenTimesAddBucket(seen, ts, breakdown->width);
	else if (HourMinutesEnds(row->minutes, minute, low, high, &first, &last))
		SeenTimesAdd(seen, ts + first, ts + last);
}

/*
 * Add the first and the last minute of an hour's row that has events and is at least partly in
 * the range
 */
static void
add_hour(SeenTimes *seen, const Breakdown *breakdown, const RollupRow *row, TimeRange range)
{
	int64 events[MINS_PER_HOUR];
	int first = -1;
	int last = -1;

	HourMinutesEvents(row->minutes, events);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		TimestampTz ts = row->bucket + minute * USECS_PER_MINUTE;

		if (events[minute] == 0 || ts + USECS_PER_MINUTE <= range.low || ts >= range.high)
			continue;
		if (first < 0)
			first = minute;
		last = minute;
	}
	if (first >= 0)
		add_packed(seen, breakdown, row, first, range);
	if (last > first)
		add_packed(seen, breakdown, row, last, range);
}

/*
 * Add a minute's row
 */
static void
add_minute(SeenTimes *seen, const Breakdown *breakdown, const RollupRow *row, TimeRange range)
{
	uint32 low = (uint32) (Max(range.low, row->bucket) - row->bucket);
	uint32 high = (uint32) (Min(range.high, row->bucket + USECS_PER_MINUTE) - row->bucket);
	uint32 first;
	uint32 last;

	if (!breakdown->keeps_times || TimesCount(row->minutes) != row->events)
		SeenTimesAddBucket(seen, row->bucket, breakdown->width);
	else if (TimesEnds(row->minutes, low, high, &first, &last))
		SeenTimesAdd(seen, row->bucket + first, row->bucket + last);
}

void
SeenTimesAddRow(SeenTimes *seen, const Breakdown *breakdown, BucketLevel level,
				const RollupRow *row, TimeRange range)
{
	if (row->minutes == (Datum) 0)
		SeenTimesAddBucket(seen, row->bucket,
						   level == LEVEL_MINUTE ? breakdown->width : BucketWidth(level));
	else if (level == LEVEL_HOUR)
		add_hour(seen, breakdown, row, range);
	else
		add_minute(seen, breakdown, row, range);
}

void
SeenTimesUnknown(const SeenTimes *seen, TimeRangeList *buckets)
{
	SeenBucket first = seen->first_bucket;
	SeenBucket last = seen->last_bucket;

	if (first.ts < seen->first)
		TimeRangeListAppend(buckets, first.ts, first.ts + first.width);
	if (last.ts + last.width > seen->last)
		TimeRangeListAppend(buckets, last.ts, last.ts + last.width);
}

static bool
is_in(SeenBucket bucket, TimestampTz ts)
{
	return ts >= bucket.ts && ts < bucket.ts + bucket.width;
}

void
SeenTimesAddRaw(SeenTimes *seen, TimestampTz ts)
{
	bool is_first = is_in(seen->first_bucket, ts);
	bool is_last = is_in(seen->last_bucket, ts);

	if (is_first || is_last)
		SeenTimesAdd(seen, ts, ts);
	seen->has_first |= is_first;
	seen->has_last |= is_last;
}

TimestampTz
SeenTimesFirst(const SeenTimes *seen)
{
	return seen->has_first ? seen->first : Min(seen->first, seen->first_bucket.ts);
}

TimestampTz
SeenTimesLast(const SeenTimes *seen)
{
	return seen->has_last ? seen->last : Max(seen->last, seen->last_bucket.ts);
}
