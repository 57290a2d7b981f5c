/*
 * close_buckets.c
 *
 * Closing hours and days, and undoing it for buckets that must be counted
 * again.
 */
#include "postgres.h"

#include "rollup/refresh/close_buckets.h"

#include "utils/timestamp.h"

#include "rollup/state/statement.h"

/* Minutes of one hour or more become rows of hours. Between $1 and $2. */
#define CLOSE_HOURS \
	"WITH gone AS (DELETE FROM fast_ingest.rollup" \
	" WHERE breakdown = ANY (ARRAY(SELECT id FROM fast_ingest.breakdowns WHERE finest = 1))" \
	"  AND level = 1 AND bucket >= $1 AND bucket < $2 RETURNING *)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, minutes)" \
	" SELECT breakdown, 2, event_name, date_trunc('hour', bucket, 'UTC'), scope, key," \
	"  is_other, is_other_name," \
	"  sum(events), %1$s.fi_cardinality(%1$s.fi_union(users)), %1$s.fi_union(users)," \
	"  %1$s.fi_pack_minutes(" \
	"   (extract(epoch FROM bucket - date_trunc('hour', bucket, 'UTC')) / 60)::integer," \
	"   events, users)" \
	" FROM gone GROUP BY breakdown, event_name, date_trunc('hour', bucket, 'UTC'), scope, key," \
	"  is_other, is_other_name"

/* The totals of hours between $1 and $2. */
#define FORGET_HOUR_TOTALS \
	"DELETE FROM fast_ingest.rollup WHERE breakdown = 0 AND level = 2" \
	" AND bucket >= $1 AND bucket < $2"
#define COUNT_HOUR_TOTALS \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users)" \
	" SELECT 0, 2, event_name, bucket, '', '', false, is_other_name, sum(events)," \
	"  %1$s.fi_cardinality(%1$s.fi_union(users))" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = 1 AND level = 2 AND bucket >= $1 AND bucket < $2" \
	" GROUP BY event_name, bucket, is_other_name"

/*
 * Rows of hours become rows of days, for one breakdown and one it is counted as: its
 * number, key and is_other; the number of the first; what else to group by.
 */
#define CLOSE_DAYS \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users)" \
	" SELECT %d, 3, event_name, date_trunc('day', bucket, 'UTC'), scope, %s, is_other_name," \
	"  sum(events)," \
	"  %%1$s.fi_cardinality(%%1$s.fi_union(users)), %%1$s.fi_union(users)" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = %d AND level = 2 AND bucket >= $1 AND bucket < $2" \
	" GROUP BY event_name, is_other_name, date_trunc('day', bucket, 'UTC'), scope%s"

/*
 * Run a statement with a breakdown's number in it
 */
static void run_for(TimestampTz low, TimestampTz high, const char *format, ...)
	pg_attribute_printf(3, 4);

static void
run_for(TimestampTz low, TimestampTz high, const char *format, ...)
{
	char statement[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(statement, sizeof(statement), format, args);
	va_end(args);
	(void) RollupStatement(statement, low, high);
}

/*
 * Put the parts of a key in a bucket together (see merge_write.c), but for buckets from
 * $1 to $2
 */
#define PUT_TOGETHER \
	"WITH old AS (DELETE FROM fast_ingest.rollup AS r" \
	" USING (SELECT " KEY_COLUMNS " FROM fast_ingest.rollup WHERE is_part AND bucket < $1" \
	"  UNION SELECT " KEY_COLUMNS " FROM fast_ingest.rollup WHERE is_part AND bucket > $2) AS p" \
	" WHERE r.breakdown = p.breakdown AND r.level = p.level AND r.event_name = p.event_name" \
	"  AND r.bucket = p.bucket AND r.scope = p.scope AND r.key = p.key" \
	"  AND r.is_other = p.is_other AND r.is_other_name = p.is_other_name RETURNING r.*)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users)" \
	" SELECT " KEY_COLUMNS ", sum(events)," \
	"  %1$s.fi_cardinality(%1$s.fi_union(users)), %1$s.fi_union(users)" \
	" FROM old GROUP BY " KEY_COLUMNS

void
CloseBucketsParts(TimeRange except)
{
	if (except.low <= except.high)
		(void) RollupStatement(PUT_TOGETHER, BucketStart(except.low, LEVEL_DAY), except.high);
	else
		(void) RollupStatement(PUT_TOGETHER, TIME_END, TIME_END);
}

static void
forget(int breakdown, BucketLevel level, TimestampTz low, TimestampTz high)
{
	run_for(low, high,
			"DELETE FROM fast_ingest.rollup"
			" WHERE breakdown = %d AND level = %d AND bucket >= $1 AND bucket < $2",
			breakdown, level);
}

/*
 * Make a breakdown's rows of whole days out of its hours, and with those of
 * channels the totals
 */
static void
close_days(int breakdown, TimestampTz low, TimestampTz high)
{
	run_for(low, high, CLOSE_DAYS, breakdown, "key, is_other", breakdown, ", key, is_other");
	if (breakdown == BREAKDOWN_CHANNEL)
		run_for(low, high, CLOSE_DAYS, BREAKDOWN_TOTAL, "'', false", breakdown, "");
}

static void
forget_days(int breakdown, TimestampTz low, TimestampTz high)
{
	forget(breakdown, LEVEL_DAY, low, high);
	if (breakdown == BREAKDOWN_CHANNEL)
		forget(BREAKDOWN_TOTAL, LEVEL_DAY, low, high);
}

void
CloseBucketsClose(RollupState *state, const BreakdownList *breakdowns, int64 *hours, int64 *days)
{
	TimestampTz hour = BucketStart(GetCurrentTimestamp() - CLOSE_DELAY, LEVEL_HOUR);
	TimestampTz day = BucketStart(hour, LEVEL_DAY);

	*hours = *days = 0;
	if (hour > state->hours_closed)
	{
		(void) RollupStatement(CLOSE_HOURS, state->hours_closed, hour);
		(void) RollupStatement(COUNT_HOUR_TOTALS, state->hours_closed, hour);
		*hours = (hour - state->hours_closed) / USECS_PER_HOUR;
		state->hours_closed = hour;
	}
	if (day > state->days_closed)
	{
		for (int i = 0; i < breakdowns->n; i++)
			if (breakdowns->items[i].finest < LEVEL_DAY)
				close_days(breakdowns->items[i].id, state->days_closed, day);
		*days = (day - state->days_closed) / USECS_PER_DAY;
		state->days_closed = day;
	}
}

/*
 * Take the minutes of a span out of rows of closed hours, and leave the others
 */
static void
forget_minutes(int breakdown, TimeRange span)
{
	TimestampTz first = BucketStart(span.low, LEVEL_HOUR);
	TimestampTz last = BucketStart(span.high - 1, LEVEL_HOUR) + USECS_PER_HOUR;

	/* hours that are covered whole need not be taken apart */
	if (first < span.low || last > span.high)
	{
		run_for(span.low, span.high,
				"WITH gone AS (DELETE FROM fast_ingest.rollup"
				" WHERE breakdown = %d AND level = 2"
				"  AND (bucket > $1 - interval '1 hour' AND bucket < $1"
				"   OR bucket > $2 - interval '1 hour' AND bucket < $2) RETURNING *),"
				" kept AS (SELECT g.breakdown, g.event_name, g.bucket, g.scope, g.key,"
				"  g.is_other, g.is_other_name, m.minute, m.events, m.users"
				" FROM gone AS g, %%1$s.fi_unpack_minutes(g.users, g.minutes) AS m"
				" WHERE g.bucket + m.minute * interval '1 minute' < $1"
				"  OR g.bucket + m.minute * interval '1 minute' >= $2)"
				"INSERT INTO fast_ingest.rollup"
				" (" KEY_COLUMNS ", events, unique_users, users,"
				"  minutes)"
				" SELECT breakdown, 2, event_name, bucket, scope, key, is_other, is_other_name,"
				"  sum(events),"
				"  %%1$s.fi_cardinality(%%1$s.fi_union(users)), %%1$s.fi_union(users),"
				"  %%1$s.fi_pack_minutes(minute, events, users)"
				" FROM kept GROUP BY breakdown, event_name, bucket, scope, key, is_other,"
				"  is_other_name",
				breakdown);
		first += first < span.low ? USECS_PER_HOUR : 0;
		last -= last > span.high ? USECS_PER_HOUR : 0;
	}
	if (first < last)
		forget(breakdown, LEVEL_HOUR, first, last);
	forget(breakdown, LEVEL_MINUTE, span.low, span.high);
}

void
CloseBucketsForget(const Breakdown *breakdown, TimeRange span)
{
	if (breakdown->finest == LEVEL_MINUTE)
		forget_minutes(breakdown->id, span);
	else
		forget(breakdown->id, breakdown->finest, span.low, span.high);
}

void
CloseBucketsCountTotals(const TimeRangeList *hours)
{
	for (int i = 0; i < hours->n; i++)
	{
		(void) RollupStatement(FORGET_HOUR_TOTALS, hours->ranges[i].low, hours->ranges[i].high);
		(void) RollupStatement(COUNT_HOUR_TOTALS, hours->ranges[i].low, hours->ranges[i].high);
	}
}

/*
 * The buckets of a level that spans have a part of, as far as they are closed
 */
static TimeRangeList *
closed_buckets(const TimeRangeList *spans, BucketLevel level, TimestampTz closed)
{
	TimeRangeList *buckets = palloc0(sizeof(TimeRangeList));

	for (int i = 0; i < spans->n; i++)
		TimeRangeListAdd(
			buckets, BucketStart(spans->ranges[i].low, level),
			Min(BucketStart(spans->ranges[i].high - 1, level) + BucketWidth(level), closed));
	return buckets;
}

void
CloseBucketsAgain(const Breakdown *breakdown, const TimeRangeList *spans, const RollupState *state)
{
	if (breakdown->id == BREAKDOWN_CHANNEL)
		CloseBucketsCountTotals(closed_buckets(spans, LEVEL_HOUR, state->hours_closed));
	if (breakdown->finest < LEVEL_DAY)
	{
		TimeRangeList *days = closed_buckets(spans, LEVEL_DAY, state->days_closed);

		for (int i = 0; i < days->n; i++)
		{
			forget_days(breakdown->id, days->ranges[i].low, days->ranges[i].high);
			close_days(breakdown->id, days->ranges[i].low, days->ranges[i].high);
		}
	}
}
