/*
 * calendar.c
 *
 * An event belongs to the day of its local date, which is (ts AT TIME ZONE zone)::date, and
 * to the hour of its local time. The hour that clocks go through twice when they are set
 * back is two hours with different offsets from UTC. So is any shorter period; six hours are a
 * part of a day, and longer or shorter where clocks change.
 *
 * Between two changes of the clock, local time is UTC plus a constant, so a period is an
 * interval there. A change may bring back the day before: where clocks go from 00:01 back to
 * 23:01, each of the two days is two pieces.
 *
 * A group begins at the instant that date_trunc(unit, ts, zone) gives for each event of the
 * group. A day begins at that instant, unless its midnight comes twice or not at all.
 */
#include "postgres.h"

#include "rollup/calendar/calendar.h"

#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/grow_array.h"

/* The groups made so far, and the room in their arrays. */
typedef struct
{
	TimeGroups *groups;
	uint32 group_room;
	uint32 bound_room;
	uint32 owner_room;
	int max;
} GroupBuilder;

/* A Monday and a Sunday, as days since 2000-01-01. */
#define SOME_MONDAY 2
#define SOME_SUNDAY 1

pg_noreturn static void raise_out_of_range(void);

static void
raise_out_of_range(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
}

/*
 * The last multiple of a width that is not later than a time
 */
static TimestampTz
round_down(TimestampTz time, TimestampTz width)
{
	return time - (time % width + width) % width;
}

/*
 * Find how many seconds the clock is behind UTC at an instant
 */
static int
find_offset(TimestampTz ts, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;
	int offset;

	if (timestamp2tm(ts, &offset, &tm, &fsec, NULL, zone) != 0)
		raise_out_of_range();
	return offset;
}

/*
 * Find the first change of the offset after an instant; DT_NOEND if there is none
 */
static TimestampTz
find_next_change(TimestampTz ts, pg_tz *zone)
{
	pg_time_t second = timestamptz_to_time_t(round_down(ts, USECS_PER_SEC));

	for (;;)
	{
		pg_time_t boundary;
		TimestampTz change;
		long int offset;
		int is_dst;

		/*
		 * Asked at the second of the last change in its table, this function reports no later
		 * changes, although the zone's rule may have some: ask again one second later.
		 */
		if (pg_next_dst_boundary(&second, &offset, &is_dst, &boundary, &offset, &is_dst, zone) <= 0)
		{
			second++;
			if (pg_next_dst_boundary(&second, &offset, &is_dst, &boundary, &offset, &is_dst,
									 zone) <= 0)
				return DT_NOEND;
		}
		if (boundary >= timestamptz_to_time_t(END_TIMESTAMP))
			return DT_NOEND;
		change = time_t_to_timestamptz(boundary);
		/* a change may be one of the abbreviation only */
		if (change > ts && find_offset(change - 1, zone) != find_offset(change, zone))
			return change;
		second = Max(boundary, second + 1);
	}
}

/*
 * Find the instant that date_trunc takes for a local time
 */
static TimestampTz
find_instant(TimestampTz local, pg_tz *zone, int *offset)
{
	struct pg_tm tm;
	fsec_t fsec;
	TimestampTz ts;

	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		raise_out_of_range();
	*offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, fsec, offset, &ts) != 0)
		raise_out_of_range();
	return ts;
}

/*
 * The local beginning of the month that comes some months after that of a local time
 */
static TimestampTz
find_month(TimestampTz local, int months)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		raise_out_of_range();
	tm.tm_mon += months;
	if (tm.tm_mon > MONTHS_PER_YEAR)
	{
		tm.tm_mon -= MONTHS_PER_YEAR;
		tm.tm_year++;
	}
	return (TimestampTz) (date2j(tm.tm_year, tm.tm_mon, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/*
 * Find the period that a local time is in, from *begin to before *end
 */
static void
find_period(TimestampTz local, CalendarStep step, TimestampTz *begin, TimestampTz *end)
{
	static const TimestampTz widths[] = {
		[STEP_MINUTE] = USECS_PER_MINUTE,		   [STEP_5_MINUTES] = 5 * USECS_PER_MINUTE,
		[STEP_15_MINUTES] = 15 * USECS_PER_MINUTE, [STEP_HOUR] = USECS_PER_HOUR,
		[STEP_6_HOURS] = 6 * USECS_PER_HOUR,	   [STEP_DAY] = USECS_PER_DAY,
		[STEP_WEEK] = 7 * USECS_PER_DAY,		   [STEP_SUNDAY_WEEK] = 7 * USECS_PER_DAY,
	};
	TimestampTz phase = step == STEP_WEEK		   ? SOME_MONDAY * USECS_PER_DAY
						: step == STEP_SUNDAY_WEEK ? SOME_SUNDAY * USECS_PER_DAY
												   : 0;

	if (step == STEP_MONTH)
	{
		*begin = find_month(local, 0);
		*end = find_month(local, 1);
		return;
	}
	*begin = round_down(local - phase, widths[step]) + phase;
	*end = *begin + widths[step];
}

/*
 * Write an instant in ISO 8601, as a clock shows it that is so many seconds behind UTC
 */
static char *
format_instant(TimestampTz ts, int offset, bool is_utc)
{
	struct pg_tm tm;
	fsec_t fsec;
	char zone[16] = "Z";

	if (!is_utc)
	{
		int seconds = abs(offset);
		int len = snprintf(zone, sizeof(zone), "%c%02d:%02d", offset > 0 ? '-' : '+',
						   seconds / SECS_PER_HOUR, seconds / SECS_PER_MINUTE % 60);

		if (seconds % SECS_PER_MINUTE != 0)
			snprintf(zone + len, sizeof(zone) - len, ":%02d", seconds % SECS_PER_MINUTE);
	}
	if (timestamp2tm(ts - offset * USECS_PER_SEC, NULL, &tm, &fsec, NULL, NULL) != 0)
		raise_out_of_range();
	return psprintf("%s%04d-%02d-%02dT%02d:%02d:%02d%s", tm.tm_year < 0 ? "-" : "", abs(tm.tm_year),
					tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, zone);
}

/*
 * Find the group of an order, or insert it where it belongs among the others. A new group
 * belongs behind all others, except where clocks were set back. NULL if there are too many.
 */
static TimeGroup *
find_or_insert_group(GroupBuilder *builder, int64 order, bool *found)
{
	TimeGroups *groups = builder->groups;
	int i = groups->n;

	while (i > 0 && groups->groups[i - 1].order > order)
		i--;
	*found = i > 0 && groups->groups[i - 1].order == order;
	if (*found)
		return &groups->groups[i - 1];
	if (groups->n == builder->max)
		return NULL;
	groups->groups = GrowArray(CurrentMemoryContext, groups->groups, groups->n,
							   &builder->group_room, sizeof(TimeGroup));
	if (i < groups->n)
	{
		memmove(&groups->groups[i + 1], &groups->groups[i], (groups->n - i) * sizeof(TimeGroup));
		for (int piece = 0; piece < groups->npieces; piece++)
			groups->owners[piece] += groups->owners[piece] >= i;
	}
	groups->n++;
	groups->groups[i] = (TimeGroup){.order = order};
	return &groups->groups[i];
}

/*
 * Add the times up to an end to a group: extend the last piece, or add one
 */
static void
add_piece(GroupBuilder *builder, TimestampTz end, TimeGroup *group)
{
	TimeGroups *groups = builder->groups;
	int owner = (int) (group - groups->groups);

	if (groups->npieces > 0 && groups->owners[groups->npieces - 1] == owner)
	{
		groups->bounds[groups->npieces] = end;
		return;
	}
	groups->owners = GrowArray(CurrentMemoryContext, groups->owners, groups->npieces,
							   &builder->owner_room, sizeof(int));
	groups->owners[groups->npieces++] = owner;
	groups->bounds = GrowArray(CurrentMemoryContext, groups->bounds, groups->npieces,
							   &builder->bound_room, sizeof(TimestampTz));
	groups->bounds[groups->npieces] = end;
	group->npieces++;
}

static TimeGroups *
begin_groups(GroupBuilder *builder, TimestampTz low)
{
	builder->groups = palloc0(sizeof(TimeGroups));
	builder->groups->bounds =
		GrowArray(CurrentMemoryContext, NULL, 0, &builder->bound_room, sizeof(TimestampTz));
	builder->groups->bounds[0] = low;
	return builder->groups;
}

TimeGroups *
CalendarWhole(TimestampTz low, TimestampTz high)
{
	GroupBuilder builder = {.max = 1};
	TimeGroups *groups = begin_groups(&builder, low);
	bool found;

	add_piece(&builder, high, find_or_insert_group(&builder, 0, &found));
	return groups;
}

TimeGroups *
CalendarGroups(TimestampTz low, TimestampTz high, CalendarStep step, pg_tz *zone, int max)
{
	const char *name = pg_get_timezone_name(zone);
	GroupBuilder builder = {.max = max};
	TimeGroups *groups = begin_groups(&builder, low);
	bool repeats = step <= STEP_HOUR;
	TimestampTz change = DT_NOBEGIN;
	int offset = 0;

	groups->is_utc =
		strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0 || strcmp(name, "GMT") == 0;
	while (low < high)
	{
		TimestampTz begin;
		TimestampTz end;
		TimeGroup *group;
		bool found;

		if (low >= change)
		{
			offset = find_offset(low, zone);
			change = find_next_change(low, zone);
		}
		find_period(low - offset * USECS_PER_SEC, step, &begin, &end);
		end = Min(end + offset * USECS_PER_SEC, change);
		/*
		 * The local beginning identifies a day, since a change may bring a day back. The end
		 * identifies an hour, which never comes back.
		 */
		group = find_or_insert_group(&builder, repeats ? end : begin, &found);
		if (group == NULL)
			return NULL;
		if (!found)
		{
			group->offset = offset;
			group->begin = repeats ? begin + offset * USECS_PER_SEC
								   : find_instant(begin, zone, &group->offset);
		}
		low = Min(end, high);
		add_piece(&builder, low, group);
	}
	return groups;
}

char *
CalendarLabel(const TimeGroups *groups, int number)
{
	const TimeGroup *group = &groups->groups[number];

	return format_instant(group->begin, group->offset, groups->is_utc);
}

char *
CalendarInstant(TimestampTz ts)
{
	return format_instant(ts, 0, true);
}
