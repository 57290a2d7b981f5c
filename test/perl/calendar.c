/*
 * calendar.c
 *
 * What a test asks of src/rollup/calendar/calendar.c, as SQL functions:
 *
 *	calendar_changes(zone text, low timestamptz, high timestamptz)
 *		RETURNS TABLE (change timestamptz, before integer, after integer): when the clock of
 *		the zone changes, found by looking at it once a day, from how many seconds behind
 *		UTC to how many
 *	calendar_pieces(zone text, low timestamptz, high timestamptz, step text, sunday boolean)
 *		RETURNS TABLE ("time" timestamptz, label text, low timestamptz, high timestamptz,
 *		owner integer)
 *	calendar_zone(name text) RETURNS text: the name of the zone of a name, or NULL
 *	calendar_step(name text) RETURNS text: the step that a text stands for, or NULL
 *	calendar_auto(low timestamptz, high timestamptz, least_width interval) RETURNS text: the
 *		step that is chosen for a range
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/compat.h"

#include "rollup/calendar/calendar.c"
#include "rollup/calendar/time_step.c"
#include "rollup/calendar/time_zone.c"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(calendar_changes);
PG_FUNCTION_INFO_V1(calendar_pieces);
PG_FUNCTION_INFO_V1(calendar_zone);
PG_FUNCTION_INFO_V1(calendar_step);
PG_FUNCTION_INFO_V1(calendar_auto);

#define STEP USECS_PER_DAY

Datum
calendar_changes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	pg_tz *zone = pg_tzset(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	TimestampTz high = PG_GETARG_TIMESTAMPTZ(2);

	InitMaterializedSRF(fcinfo, 0);
	for (TimestampTz ts = PG_GETARG_TIMESTAMPTZ(1); ts < high; ts += STEP)
	{
		TimestampTz before = ts;
		TimestampTz after = ts + STEP;
		int offset = find_offset(before, zone);
		Datum values[3];
		bool isnull[3] = {false};

		if (find_offset(after, zone) == offset)
			continue;
		while (after - before > 1)
		{
			TimestampTz middle = before + (after - before) / 2;

			if (find_offset(middle, zone) == offset)
				before = middle;
			else
				after = middle;
		}
		values[0] = TimestampTzGetDatum(after);
		values[1] = Int32GetDatum(find_offset(before, zone));
		values[2] = Int32GetDatum(find_offset(after, zone));
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}

Datum
calendar_pieces(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimeGroups *groups;
	CalendarStep step;

	if (!TimeStepRead(text_to_cstring(PG_GETARG_TEXT_PP(3)), &step))
		elog(ERROR, "not a step");
	if (step == STEP_WEEK && PG_GETARG_BOOL(4))
		step = STEP_SUNDAY_WEEK;
	groups = CalendarGroups(PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_TIMESTAMPTZ(2), step,
							CalendarZone(text_to_cstring(PG_GETARG_TEXT_PP(0))), MAX_TIME_GROUPS);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < groups->npieces; i++)
	{
		int group = groups->owners[i];
		Datum values[] = {TimestampTzGetDatum(groups->groups[group].begin),
						  CStringGetTextDatum(CalendarLabel(groups, group)),
						  TimestampTzGetDatum(groups->bounds[i]),
						  TimestampTzGetDatum(groups->bounds[i + 1]),
						  Int32GetDatum(groups->owners[i])};
		bool isnull[lengthof(values)] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}

Datum
calendar_zone(PG_FUNCTION_ARGS)
{
	pg_tz *zone = CalendarZone(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (zone == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(pg_get_timezone_name(zone)));
}

Datum
calendar_step(PG_FUNCTION_ARGS)
{
	CalendarStep step;

	if (!TimeStepRead(text_to_cstring(PG_GETARG_TEXT_PP(0)), &step))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(TimeStepName(step)));
}

Datum
calendar_auto(PG_FUNCTION_ARGS)
{
	Interval *least = PG_GETARG_INTERVAL_P(2);

	PG_RETURN_TEXT_P(cstring_to_text(
		TimeStepName(TimeStepChoose(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMESTAMPTZ(1),
									least->time + least->day * USECS_PER_DAY))));
}
