/*
 * calendar.h
 *
 * The hours and days of a time zone, as groups of an answer.
 */
#ifndef FAST_INGEST_CALENDAR_H
#define FAST_INGEST_CALENDAR_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* Most hours or days of an answer: 22 years of hours. */
#define MAX_TIME_GROUPS 200000

typedef struct
{
	const char *label; /* its beginning in ISO 8601; NULL for an ungrouped answer */
	int64 order;	   /* ascends from group to group, and does not depend on the range */
	int npieces;
} TimeGroup;

/*
 * The groups of a range. The range is cut into pieces. A group has one piece, or several
 * where clocks are set back over midnight.
 */
typedef struct
{
	int n;
	TimeGroup *groups;
	int npieces;
	TimestampTz *bounds; /* piece i is from bounds[i] (inclusive) to bounds[i + 1] (exclusive) */
	int *owners;		 /* the number of the group that each piece belongs to */
} TimeGroups;

/*
 * Find a time zone by its name in the time zone database, in any case of letters. NULL if
 * there is none of that name.
 */
extern pg_tz *CalendarZone(const char *name);

/* Make one group of one piece, without a label, in the current memory context. */
extern TimeGroups *CalendarWhole(TimestampTz low, TimestampTz high);

/*
 * Make the groups of the hours or days from low (inclusive) to high (exclusive), in the
 * current memory context. No groups if low is not before high. NULL for more than
 * MAX_TIME_GROUPS. An error 22008 for a local time that is out of range.
 */
extern TimeGroups *CalendarGroups(TimestampTz low, TimestampTz high, bool days, pg_tz *zone);

#endif
