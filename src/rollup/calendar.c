/*
 * calendar.c
 *
 * A day begins at midnight, or where midnight is skipped, when the clocks go
 * on. An hour begins on the hour of the local clock and ends with it, or where
 * the clocks change within it.
 */
#include "postgres.h"

#include "rollup/calendar.h"

#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "room.h"

/*
 * pg_tzset takes POSIX rules as well, and what "+02" or "UTC+2" mean there is two
 * hours behind UTC, the opposite of what a client expects. Names with a digit
 * and without a slash are such rules, but for a few.
 */
pg_tz *
CalendarZone(const char *name)
{
	static const char *const names[] = {"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT",
										"GMT0",	   "GMT+0",	  "GMT-0"};
	bool is_rule = strpbrk(name, "0123456789") != NULL && strchr(name, '/') == NULL;

	for (int i = 0; i < (int) lengthof(names); i++)
		is_rule &= pg_strcasecmp(name, names[i]) != 0;
	return is_rule || strlen(name) > TZ_STRLEN_MAX ? NULL : pg_tzset(name);
}

/*
 * The local time of an instant, and how many seconds it is behind UTC
 */
static int
local_time(TimestampTz ts, pg_tz *zone, struct pg_tm *tm)
{
	fsec_t fsec;
	int offset;

	if (timestamp2tm(ts, &offset, tm, &fsec, NULL, zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return offset;
}

/*
 * The instant of a local midnight
 */
static TimestampTz
midnight(int julian_day, pg_tz *zone, int *offset)
{
	struct pg_tm tm = {0};
	TimestampTz ts;

	j2date(julian_day, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	*offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, offset, &ts) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return ts;
}

/*
 * An instant in ISO 8601, by a clock that is so many seconds behind UTC
 */
static char *
label(TimestampTz ts, int offset, bool is_utc)
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
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d%s", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, zone);
}

/*
 * The day that an instant is in: where it begins, by which clock, and where the
 * next one does
 */
static TimestampTz
day_of(TimestampTz ts, pg_tz *zone, int *offset, TimestampTz *end)
{
	struct pg_tm tm;
	int day;
	int next_offset;
	TimestampTz start;

	(void) local_time(ts, zone, &tm);
	day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday);
	start = midnight(day, zone, offset);
	*end = midnight(day + 1, zone, &next_offset);
	/* minutes of the day that came before clocks were set back over midnight */
	if (start > ts)
	{
		*end = start;
		start = midnight(day - 1, zone, offset);
	}
	return start;
}

/*
 * The hour that an instant is in, likewise
 */
static TimestampTz
hour_of(TimestampTz ts, pg_tz *zone, int *offset, TimestampTz *end)
{
	struct pg_tm tm;
	TimestampTz start;
	pg_time_t now;
	pg_time_t change;
	long int before_offset;
	long int after_offset;
	int before_dst;
	int after_dst;

	*offset = local_time(ts, zone, &tm);
	start = ts - ts % USECS_PER_SEC - (ts % USECS_PER_SEC < 0 ? USECS_PER_SEC : 0);
	start -= (tm.tm_min * SECS_PER_MINUTE + tm.tm_sec) * USECS_PER_SEC;
	*end = start + USECS_PER_HOUR;

	now = timestamptz_to_time_t(ts);
	if (pg_next_dst_boundary(&now, &before_offset, &before_dst, &change, &after_offset, &after_dst,
							 zone) > 0 &&
		before_offset != after_offset)
		*end = Min(*end, time_t_to_timestamptz(change));
	return start;
}

TimeGroups *
CalendarGroups(TimestampTz low, TimestampTz high, bool days, pg_tz *zone)
{
	TimeGroups *groups = palloc0(sizeof(TimeGroups));
	const char *name = pg_get_timezone_name(zone);
	bool is_utc =
		strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0 || strcmp(name, "GMT") == 0;
	uint32 bound_room = 0;
	uint32 label_room = 0;

	groups->bounds =
		RoomForOneMore(CurrentMemoryContext, NULL, 0, &bound_room, sizeof(TimestampTz));
	groups->bounds[0] = low;
	while (low < high)
	{
		int offset;
		TimestampTz end;
		TimestampTz start =
			days ? day_of(low, zone, &offset, &end) : hour_of(low, zone, &offset, &end);

		if (groups->n == MAX_TIME_GROUPS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("group_by=%s has too many groups from \"from\" to \"to\": at most %d "
							"are allowed",
							days ? "day" : "hour", MAX_TIME_GROUPS)));
		groups->labels = RoomForOneMore(CurrentMemoryContext, groups->labels, groups->n,
										&label_room, sizeof(char *));
		groups->labels[groups->n++] = label(start, offset, is_utc);
		low = Min(end, high);
		groups->bounds = RoomForOneMore(CurrentMemoryContext, groups->bounds, groups->n,
										&bound_room, sizeof(TimestampTz));
		groups->bounds[groups->n] = low;
	}
	return groups;
}
