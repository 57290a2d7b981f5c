/*
 * hour_minutes_sql.c
 *
 * The SQL functions fast_ingest.pack_minutes and fast_ingest.unpack_minutes.
 */
#include "postgres.h"

#include "rollup/sets/hour_minutes.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "base/compat.h"

PG_FUNCTION_INFO_V1(fi_pack_minutes_add);
PG_FUNCTION_INFO_V1(fi_pack_minutes_result);
PG_FUNCTION_INFO_V1(fi_unpack_minutes);

enum
{
	UNPACKED_MINUTE,
	UNPACKED_EVENTS,
	UNPACKED_USERS,
	UNPACKED_TIMES,
	NUM_UNPACKED_COLUMNS
};

/*
 * The state of pack_minutes is an HourMinutes in the memory context of the aggregate.
 * ERROR 22004 if minute or events is NULL; users may be NULL, which is no users, and times, which
 * is none known.
 */
Datum
fi_pack_minutes_add(PG_FUNCTION_ARGS)
{
	HourMinutes *hour = PG_ARGISNULL(0) ? NULL : (HourMinutes *) PG_GETARG_POINTER(0);
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("fast_ingest.pack_minutes_add called in non-aggregate context")));
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("minute and events must not be null")));
	if (hour == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		hour = HourMinutesCreate();
		MemoryContextSwitchTo(caller);
	}
	if (PG_ARGISNULL(3))
		HourMinutesAdd(hour, PG_GETARG_INT32(1), PG_GETARG_INT64(2), NULL);
	else
		HourMinutesAddDatum(hour, PG_GETARG_INT32(1), PG_GETARG_INT64(2), PG_GETARG_DATUM(3));
	if (!PG_ARGISNULL(4))
		HourMinutesAddTimes(hour, PG_GETARG_INT32(1), PG_GETARG_DATUM(4));
	PG_RETURN_POINTER(hour);
}

Datum
fi_pack_minutes_result(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(HourMinutesDatum((HourMinutes *) PG_GETARG_POINTER(0)));
}

Datum
fi_unpack_minutes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	HourMinutes *hour = HourMinutesRead(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));

	InitMaterializedSRF(fcinfo, 0);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		Datum values[NUM_UNPACKED_COLUMNS];
		bool isnull[NUM_UNPACKED_COLUMNS] = {false};
		int64 events;
		UserSet *users;

		HourMinutesGet(hour, minute, &events, &users);
		if (events == 0 && UserSetCardinality(users) == 0)
			continue;
		values[UNPACKED_MINUTE] = Int32GetDatum(minute);
		values[UNPACKED_EVENTS] = Int64GetDatum(events);
		values[UNPACKED_USERS] = UserSetDatum(users);
		values[UNPACKED_TIMES] = HourMinutesGetTimes(hour, minute);
		isnull[UNPACKED_TIMES] = values[UNPACKED_TIMES] == (Datum) 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
