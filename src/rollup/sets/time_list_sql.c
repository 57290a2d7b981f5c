/*
 * time_list_sql.c
 *
 * The SQL functions over times: the aggregate fast_ingest.union_times, and
 * fast_ingest.forget_user_in_times and fast_ingest.unpack_times.
 */
#include "postgres.h"

#include "rollup/sets/time_list.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "base/compat.h"

PG_FUNCTION_INFO_V1(fi_union_times_add);
PG_FUNCTION_INFO_V1(fi_union_times_result);
PG_FUNCTION_INFO_V1(fi_forget_user_in_times);
PG_FUNCTION_INFO_V1(fi_unpack_times);

/*
 * The state of union_times is a TimeList in the memory context of the aggregate; NULL until
 * there are times.
 */
Datum
fi_union_times_add(PG_FUNCTION_ARGS)
{
	TimeList *list = PG_ARGISNULL(0) ? NULL : (TimeList *) PG_GETARG_POINTER(0);
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("fast_ingest.union_times_add called in non-aggregate context")));
	if (!PG_ARGISNULL(1))
	{
		if (list == NULL)
			list = MemoryContextAllocZero(context, sizeof(TimeList));
		TimeListAddDatum(context, list, PG_GETARG_DATUM(1));
	}
	if (list == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(list);
}

Datum
fi_union_times_result(PG_FUNCTION_ARGS)
{
	Datum result = PG_ARGISNULL(0) ? (Datum) 0 : TimeListDatum((TimeList *) PG_GETARG_POINTER(0));

	if (result == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/*
 * The same times without one user: the events stay, without a user
 */
Datum
fi_forget_user_in_times(PG_FUNCTION_ARGS)
{
	TimeList list = {0};
	int64 user = PG_GETARG_INT64(1);

	TimeListAddDatum(CurrentMemoryContext, &list, PG_GETARG_DATUM(0));
	for (uint32 i = 0; i < list.n; i++)
		if (list.times[i].user == user)
			list.times[i].user = MINUTE_NO_USER;
	PG_RETURN_DATUM(TimeListDatum(&list));
}

Datum
fi_unpack_times(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimeList list = {0};

	TimeListAddDatum(CurrentMemoryContext, &list, PG_GETARG_DATUM(0));
	InitMaterializedSRF(fcinfo, 0);
	for (uint32 i = 0; i < list.n; i++)
	{
		Datum values[2] = {Int32GetDatum((int32) list.times[i].offset),
						   Int64GetDatum(list.times[i].user)};
		bool isnull[2] = {false, list.times[i].user == MINUTE_NO_USER};

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
