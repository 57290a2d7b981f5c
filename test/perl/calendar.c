/*
 * calendar.c
 *
 * What a test asks of src/rollup/metrics/calendar.c, as SQL functions:
 *
 *	calendar_changes(zone text, low timestamptz, high timestamptz)
 *		RETURNS TABLE (change timestamptz, before integer, after integer): when the clock of
 *		the zone changes, found by looking at it once a day, from how many seconds behind
 *		UTC to how many
 *	calendar_pieces(zone text, low timestamptz, high timestamptz, days boolean)
 *		RETURNS TABLE (label text, low timestamptz, high timestamptz, owner integer)
 *	calendar_zone(name text) RETURNS text: the name of the zone of a name, or NULL
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/compat.h"

#include "rollup/metrics/calendar.c"
#include "rollup/metrics/time_zone.c"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(calendar_changes);
PG_FUNCTION_INFO_V1(calendar_pieces);
PG_FUNCTION_INFO_V1(calendar_zone);

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
	TimeGroups *groups =
		CalendarGroups(PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_TIMESTAMPTZ(2), PG_GETARG_BOOL(3),
					   CalendarZone(text_to_cstring(PG_GETARG_TEXT_PP(0))));

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < groups->npieces; i++)
	{
		Datum values[] = {CStringGetTextDatum(groups->groups[groups->owners[i]].label),
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
