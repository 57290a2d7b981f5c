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

typedef struct
{
	const char *label; /* ISO 8601: where the hour or day begins; NULL for an ungrouped answer */
	int64 order;	   /* ascends from group to group, and is the same for any range */
	int npieces;
} TimeGroup;

/*
 * The groups of a range, which is cut into pieces: a group is one of them, or several
 * where clocks are set back over midnight.
 */
typedef struct
{
	int n;
	TimeGroup *groups;
	int npieces;
	TimestampTz *bounds; /* piece i is from bounds[i] (inclusive) to bounds[i + 1] (exclusive) */
	int *owners;		 /* the group that each piece belongs to */
} TimeGroups;

/* The time zone of that name, which must be one of the time zone database; or NULL. */
extern pg_tz *CalendarZone(const char *name);

/* One group of one piece, without a label, in the current memory context. */
extern TimeGroups *CalendarWhole(TimestampTz low, TimestampTz high);

/*
 * The hours or days from low (inclusive) to high (exclusive), in the current
 * memory context; NULL for more than MAX_TIME_GROUPS.
 */
extern TimeGroups *CalendarGroups(TimestampTz low, TimestampTz high, bool days, pg_tz *zone);

#endif
