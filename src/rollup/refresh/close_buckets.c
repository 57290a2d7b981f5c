/*
 * close_buckets.c
 *
 * Closes hours and days, and opens buckets that must be counted again.
 */
#include "postgres.h"

#include "rollup/refresh/close_buckets.h"

#include "utils/timestamp.h"

#include "db/spi.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/refresh/all_names.h"
#include "rollup/refresh/fine_rows.h"
#include "rollup/refresh/merge.h"

/* Turn the rows of minutes of the hours from $1 to before $2 into rows of hours. */
#define CLOSE_HOURS \
	"WITH gone AS (DELETE FROM fast_ingest.rollup" \
	" WHERE breakdown = ANY (ARRAY(SELECT id FROM fast_ingest.breakdowns WHERE finest = 1))" \
	"  AND level = 1 AND bucket >= $1 AND bucket < $2 RETURNING *)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, minutes)" \
	" SELECT breakdown, 2, event_name, date_trunc('hour', bucket, 'UTC'), scope, key," \
	"  is_other, is_other_name," \
	"  sum(events), fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users)," \
	"  fast_ingest.pack_minutes(" \
	"   (extract(epoch FROM bucket - date_trunc('hour', bucket, 'UTC')) / 60)::integer," \
	"   events, users, minutes)" \
	" FROM gone GROUP BY breakdown, event_name, date_trunc('hour', bucket, 'UTC'), scope, key," \
	"  is_other, is_other_name"

/*
 * Remove and compute the totals of the hours from $1 to before $2, of each event_name and of all
 */
#define FORGET_HOUR_TOTALS \
	"DELETE FROM fast_ingest.rollup WHERE breakdown IN (0, -1) AND level = 2" \
	" AND bucket >= $1 AND bucket < $2"
#define COUNT_HOUR_TOTALS \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users)" \
	" SELECT 0, 2, event_name, bucket, '', '', false, is_other_name, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users))" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = 1 AND level = 2 AND bucket >= $1 AND bucket < $2" \
	" GROUP BY event_name, bucket, is_other_name"
#define COUNT_HOURS_OF_ALL_NAMES \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users)" \
	" SELECT -1, 2, '', bucket, '', '', false, false, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users))" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = 1 AND level = 2 AND bucket >= $1 AND bucket < $2" \
	" GROUP BY bucket"

/* Make rows of days from a breakdown's rows of hours from $1 to before $2. */
#define CLOSE_DAYS \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users)" \
	" SELECT breakdown, 3, event_name, date_trunc('day', bucket, 'UTC'), scope, key, is_other," \
	"  is_other_name, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users)" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = %d AND level = 2 AND bucket >= $1 AND bucket < $2" \
	" GROUP BY breakdown, event_name, is_other_name, date_trunc('day', bucket, 'UTC'), scope, key," \
	"  is_other"

/* Make the totals of days from the channels' rows of days. */
#define COUNT_DAY_TOTALS \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users)" \
	" SELECT 0, 3, event_name, bucket, '', '', false, is_other_name, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users)" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = 1 AND level = 3 AND bucket >= $1 AND bucket < $2" \
	" GROUP BY event_name, bucket, is_other_name"

/*
 * Format and run a statement with two times, $1 and $2
 */
static void run_with_times(TimestampTz low, TimestampTz high, const char *format, ...)
	pg_attribute_printf(3, 4);

static void
run_with_times(TimestampTz low, TimestampTz high, const char *format, ...)
{
	char statement[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(statement, sizeof(statement), format, args);
	va_end(args);
	(void) SpiRunWithTimes(statement, low, high);
}

/* Join the parts of keys (see merge_write.c), except in buckets from $1 to $2. */
#define JOIN_PARTS \
	"WITH old AS (DELETE FROM fast_ingest.rollup AS r" \
	" USING (SELECT " KEY_COLUMNS " FROM fast_ingest.rollup WHERE is_part AND bucket < $1" \
	"  UNION SELECT " KEY_COLUMNS " FROM fast_ingest.rollup WHERE is_part AND bucket > $2) AS p" \
	" WHERE r.breakdown = p.breakdown AND r.level = p.level AND r.event_name = p.event_name" \
	"  AND r.bucket = p.bucket AND r.scope = p.scope AND r.key = p.key" \
	"  AND r.is_other = p.is_other AND r.is_other_name = p.is_other_name RETURNING r.*)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, minutes)" \
	" SELECT " KEY_COLUMNS ", sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users)," \
	"  fast_ingest.union_times(minutes)" \
	" FROM old GROUP BY " KEY_COLUMNS

void
CloseBucketsJoinParts(TimeRange except)
{
	if (except.low <= except.high)
		(void) SpiRunWithTimes(JOIN_PARTS, BucketStart(except.low, LEVEL_DAY), except.high);
	else
		(void) SpiRunWithTimes(JOIN_PARTS, TIME_END, TIME_END);
}

static void
delete_rows(int breakdown, BucketLevel level, TimestampTz low, TimestampTz high)
{
	run_with_times(low, high,
				   "DELETE FROM fast_ingest.rollup"
				   " WHERE breakdown = %d AND level = %d AND bucket >= $1 AND bucket < $2",
				   breakdown, level);
}

/*
 * Make a breakdown's rows of whole days from those of its hours, and those of all names. If the
 * breakdown is that of channels, make the totals, too
 */
static void
close_days(const Breakdown *breakdown, TimeRange days)
{
	if (breakdown->finest < LEVEL_DAY)
		run_with_times(days.low, days.high, CLOSE_DAYS, breakdown->id);
	AllNamesCount(breakdown->id, days);
	if (breakdown->id == BREAKDOWN_CHANNEL)
	{
		(void) SpiRunWithTimes(COUNT_DAY_TOTALS, days.low, days.high);
		AllNamesCount(BREAKDOWN_TOTAL, days);
	}
}

static void
delete_days(int breakdown, TimeRange days)
{
	delete_rows(breakdown, LEVEL_DAY, days.low, days.high);
	AllNamesForget(breakdown, days);
	if (breakdown == BREAKDOWN_CHANNEL)
		delete_days(BREAKDOWN_TOTAL, days);
}

static void
count_hour_totals(TimestampTz low, TimestampTz high)
{
	(void) SpiRunWithTimes(COUNT_HOUR_TOTALS, low, high);
	(void) SpiRunWithTimes(COUNT_HOURS_OF_ALL_NAMES, low, high);
}

/*
 * Days are closed up to before days_closed: leave only rows of days to days that are too old for
 * finer ones
 */
static void
advance_fine_from(Breakdown *breakdown, TimestampTz days_closed)
{
	TimestampTz fine_from = BreakdownFineFrom(breakdown, days_closed);

	FineRowsDrop(breakdown, (TimeRange){breakdown->fine_from, fine_from});
	breakdown->fine_from = fine_from;
}

void
CloseBuckets(RollupState *state, BreakdownList *breakdowns, int64 *hours, int64 *days)
{
	TimestampTz hour = BucketStart(GetCurrentTimestamp() - CLOSE_DELAY, LEVEL_HOUR);
	TimestampTz day = BucketStart(hour, LEVEL_DAY);

	*hours = *days = 0;
	if (hour > state->hours_closed)
	{
		(void) SpiRunWithTimes(CLOSE_HOURS, state->hours_closed, hour);
		count_hour_totals(state->hours_closed, hour);
		*hours = (hour - state->hours_closed) / USECS_PER_HOUR;
		state->hours_closed = hour;
	}
	if (day > state->days_closed)
	{
		for (int i = 0; i < breakdowns->n; i++)
			close_days(&breakdowns->items[i], (TimeRange){state->days_closed, day});
		*days = (day - state->days_closed) / USECS_PER_DAY;
		state->days_closed = day;
		for (int i = 0; i < breakdowns->n; i++)
			advance_fine_from(&breakdowns->items[i], day);
	}
}

/*
 * Remove the minutes of a range: rows of minutes, rows of hours that are within the range, and
 * some minutes of the hours at its ends
 */
static void
delete_minutes(int breakdown, TimeRange range)
{
	TimestampTz first = BucketStart(range.low, LEVEL_HOUR);
	TimestampTz last = BucketStart(range.high - 1, LEVEL_HOUR) + USECS_PER_HOUR;

	/* only hours that are partly within the range must be unpacked */
	if (first < range.low || last > range.high)
	{
		run_with_times(
			range.low, range.high,
			"WITH gone AS (DELETE FROM fast_ingest.rollup"
			" WHERE breakdown = %d AND level = 2"
			"  AND (bucket >= date_trunc('hour', $1, 'UTC') AND bucket < $1"
			"   OR bucket >= date_trunc('hour', $2 - interval '1 microsecond', 'UTC')"
			"    AND bucket < $2) RETURNING *),"
			" kept AS (SELECT g.breakdown, g.event_name, g.bucket, g.scope, g.key,"
			"  g.is_other, g.is_other_name, m.minute, m.events, m.users, m.times"
			" FROM gone AS g, fast_ingest.unpack_minutes(g.users, g.minutes) AS m"
			" WHERE g.bucket + m.minute * interval '1 minute' < $1"
			"  OR g.bucket + m.minute * interval '1 minute' >= $2)"
			"INSERT INTO fast_ingest.rollup"
			" (" KEY_COLUMNS ", events, unique_users, users,"
			"  minutes)"
			" SELECT breakdown, 2, event_name, bucket, scope, key, is_other, is_other_name,"
			"  sum(events),"
			"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users),"
			"  fast_ingest.pack_minutes(minute, events, users, times)"
			" FROM kept GROUP BY breakdown, event_name, bucket, scope, key, is_other,"
			"  is_other_name",
			breakdown);
		first += first < range.low ? USECS_PER_HOUR : 0;
		last -= last > range.high ? USECS_PER_HOUR : 0;
	}
	if (first < last)
		delete_rows(breakdown, LEVEL_HOUR, first, last);
	delete_rows(breakdown, LEVEL_MINUTE, range.low, range.high);
}

void
CloseBucketsForget(const Breakdown *breakdown, TimeRange range)
{
	TimeRange fine = {Max(range.low, breakdown->fine_from), range.high};

	if (range.low < breakdown->fine_from)
		delete_days(breakdown->id, (TimeRange){range.low, Min(range.high, breakdown->fine_from)});
	if (fine.low >= fine.high)
		return;
	if (breakdown->finest == LEVEL_MINUTE)
		delete_minutes(breakdown->id, fine);
	else if (breakdown->finest == LEVEL_HOUR)
		delete_rows(breakdown->id, LEVEL_HOUR, fine.low, fine.high);
	else
		delete_days(breakdown->id, fine);
}

void
CloseBucketsCountTotals(const TimeRangeList *hours)
{
	for (int i = 0; i < hours->n; i++)
	{
		(void) SpiRunWithTimes(FORGET_HOUR_TOTALS, hours->ranges[i].low, hours->ranges[i].high);
		count_hour_totals(hours->ranges[i].low, hours->ranges[i].high);
	}
}

/*
 * The buckets of a level that some ranges have a part of, that are closed, and that have rows at
 * the levels below
 */
static TimeRangeList *
find_closed_buckets(const Breakdown *breakdown, const TimeRangeList *ranges, BucketLevel level,
					TimestampTz closed)
{
	TimeRange past = {breakdown->fine_from, closed};

	if (past.low >= past.high)
		return palloc0(sizeof(TimeRangeList));
	return TimeRangeListIntersection(TimeRangeListWholeBuckets(ranges, level),
									 &(TimeRangeList){1, 1, &past});
}

void
CloseBucketsAgain(const Breakdown *breakdown, const TimeRangeList *ranges, const RollupState *state)
{
	if (breakdown->id == BREAKDOWN_CHANNEL)
		CloseBucketsCountTotals(
			find_closed_buckets(breakdown, ranges, LEVEL_HOUR, state->hours_closed));
	if (breakdown->finest < LEVEL_DAY)
	{
		TimeRangeList *days = find_closed_buckets(breakdown, ranges, LEVEL_DAY, state->days_closed);

		for (int i = 0; i < days->n; i++)
		{
			delete_days(breakdown->id, days->ranges[i]);
			close_days(breakdown, days->ranges[i]);
		}
	}
}
