/*
 * calendar.h
 *
 * Hours and days of a time zone, as groups of an answer.
 */
#ifndef FAST_INGEST_CALENDAR_H
#define FAST_INGEST_CALENDAR_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* Groups that an answer may have: 22 years of hours. */
#define MAX_TIME_GROUPS 200000

/* Group i is from bounds[i] (inclusive) to bounds[i + 1] (exclusive). */
typedef struct
{
	int n;
	TimestampTz *bounds; /* n + 1 of them; the first and last may cut a group */
	const char **labels; /* ISO 8601: where the hour or day begins; NULL for an ungrouped answer */
} TimeGroups;

/* The time zone of that name, or NULL. */
extern pg_tz *CalendarZone(const char *name);

/*
 * The hours or days from low (inclusive) to high (exclusive), in the current
 * memory context. Error 22023 for more than MAX_TIME_GROUPS.
 */
extern TimeGroups *CalendarGroups(TimestampTz low, TimestampTz high, bool days, pg_tz *zone);

#endif
