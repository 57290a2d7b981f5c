/*
 * sql_arguments.c
 */
#include "postgres.h"

#include "rollup/questions/sql_arguments.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "rollup/questions/filter_json.h"

const MetricsNames SqlMetricsNames = {"since", "until", "time_zone"};

const char *
SqlTextArgument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

bool
SqlBoolArgument(FunctionCallInfo fcinfo, int number, bool if_null)
{
	return PG_ARGISNULL(number) ? if_null : PG_GETARG_BOOL(number);
}

void
SqlRangeArguments(FunctionCallInfo fcinfo, int since, MetricsQuery *query)
{
	query->has_from = !PG_ARGISNULL(since);
	query->has_to = !PG_ARGISNULL(since + 1);
	if (query->has_from)
		query->from = PG_GETARG_TIMESTAMPTZ(since);
	if (query->has_to)
		query->to = PG_GETARG_TIMESTAMPTZ(since + 1);
}

void
SqlFilterArgument(FunctionCallInfo fcinfo, int number, MetricsQuery *query)
{
	if (!PG_ARGISNULL(number))
		FilterJsonAdd(query, PG_GETARG_JSONB_P(number));
}

bool
SqlWeekStartArgument(FunctionCallInfo fcinfo, int number)
{
	const char *value = SqlTextArgument(fcinfo, number);
	bool sunday = value != NULL && strcmp(value, "sunday") == 0;

	if (value != NULL && !sunday && strcmp(value, "monday") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("week_start \"%s\" is not valid: expected monday or sunday", value)));
	return sunday;
}
