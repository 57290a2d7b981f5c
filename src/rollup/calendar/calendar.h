/*
 * calendar.h
 *
 * Periods of the clock in a time zone, as groups of an answer.
 */
#ifndef FAST_INGEST_CALENDAR_H
#define FAST_INGEST_CALENDAR_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* Most groups that an answer has: 22 years of hours. */
#define MAX_TIME_GROUPS 200000

/* Most groups that are counted, of which empty ones are left out: 114 years of hours. */
#define MAX_COUNTED_GROUPS 1000000

/* The periods that times are grouped by, as a clock in the time zone shows them. */
typedef enum
{
	STEP_MINUTE,
	STEP_5_MINUTES,
	STEP_15_MINUTES,
	STEP_HOUR,
	STEP_6_HOURS,
	STEP_DAY,
	STEP_WEEK,		  /* from Monday on */
	STEP_SUNDAY_WEEK, /* from Sunday on */
	STEP_MONTH
} CalendarStep;

typedef struct
{
	TimestampTz begin; /* the instant that date_trunc() gives */
	int offset;		   /* seconds that the clock is behind UTC then */
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
	bool is_utc;
} TimeGroups;

/*
 * Find a time zone by its name in the time zone database, in any case of letters. NULL if
 * there is none of that name.
 */
extern pg_tz *CalendarZone(const char *name);

/* Make one group of one piece, whose beginning has no meaning, in the current memory context. */
extern TimeGroups *CalendarWhole(TimestampTz low, TimestampTz high);

/*
 * Make the groups of the periods from low (inclusive) to high (exclusive), in the current
 * memory context. No groups if low is not before high. NULL for more than max. An error 22008
 * for a local time that is out of range.
 */
extern TimeGroups *CalendarGroups(TimestampTz low, TimestampTz high, CalendarStep step, pg_tz *zone,
								  int max);

/* Write an instant in ISO 8601, in UTC. */
extern char *CalendarInstant(TimestampTz ts);

/* Write the beginning of a group in ISO 8601, with its offset from UTC. */
extern char *CalendarLabel(const TimeGroups *groups, int number);

#endif
