/*
 * hour_minutes.c
 *
 * Unpacked hours.
 */
#include "postgres.h"

#include "rollup/sets/hour_minutes_private.h"

#include "common/int.h"

HourMinutes *
HourMinutesCreate(void)
{
	HourMinutes *hour = palloc0(sizeof(HourMinutes));

	hour->context = CurrentMemoryContext;
	return hour;
}

void
HourMinutesCount(int64 *sum, int64 events)
{
	if (pg_add_s64_overflow(*sum, events, sum))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("number of events is out of range")));
}

UserSet *
HourMinutesSet(HourMinutes *hour, int minute)
{
	if (hour->users[minute] == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(hour->context);

		hour->users[minute] = UserSetCreate();
		MemoryContextSwitchTo(caller);
	}
	return hour->users[minute];
}

/*
 * Add events to a minute. Errors as HourMinutesAdd
 */
static void
add_events(HourMinutes *hour, int minute, int64 events)
{
	if (minute < 0 || minute >= MINS_PER_HOUR)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("minute %d is not between 0 and 59", minute)));
	if (events < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("number of events " INT64_FORMAT " is negative", events)));
	HourMinutesCount(&hour->events[minute], events);
}

void
HourMinutesAdd(HourMinutes *hour, int minute, int64 events, const UserSet *users)
{
	add_events(hour, minute, events);
	if (users != NULL)
		UserSetUnion(HourMinutesSet(hour, minute), users);
}

void
HourMinutesAddDatum(HourMinutes *hour, int minute, int64 events, Datum users)
{
	add_events(hour, minute, events);
	UserSetUnionDatum(HourMinutesSet(hour, minute), users);
}

void
HourMinutesAddTimes(HourMinutes *hour, int minute, Datum times)
{
	TimeListAddDatum(hour->context, &hour->times[minute], times);
}

Datum
HourMinutesGetTimes(HourMinutes *hour, int minute)
{
	return HourMinutesKeepsTimes(hour, minute) ? TimeListDatum(&hour->times[minute]) : (Datum) 0;
}

void
HourMinutesGet(HourMinutes *hour, int minute, int64 *events, UserSet **users)
{
	*events = hour->events[minute];
	*users = HourMinutesSet(hour, minute);
}

UserSet *
HourMinutesAllUsers(HourMinutes *hour)
{
	UserSet *whole = UserSetCreate();

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if (hour->users[minute] != NULL)
			UserSetUnion(whole, hour->users[minute]);
	return whole;
}
