/*
 * live_sql.c
 *
 * The SQL functions fi_live() and fi_event_names().
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "rollup/calendar/calendar.h"
#include "rollup/questions/event_names.h"
#include "rollup/questions/live.h"
#include "rollup/questions/sql_arguments.h"

PG_FUNCTION_INFO_V1(fi_live);
PG_FUNCTION_INFO_V1(fi_event_names);

/* Arguments of fi_live(). */
enum
{
	LIVE_SITE,
	LIVE_TOP
};

/* Arguments of fi_event_names(). */
enum
{
	NAMES_SINCE,
	NAMES_UNTIL,
	NAMES_FILTER
};

static void
check_arguments(const char *site, int top)
{
	if (site != NULL && site[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site is empty: expected the site_id of events")));
	if (top < 1 || top > MAX_LIVE_TOP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("top %d is not valid: expected 1 to %d", top, MAX_LIVE_TOP)));
}

static void
put_live_row(ReturnSetInfo *result, const char *part, const char *key, int64 events, int64 users)
{
	Datum values[4] = {CStringGetTextDatum(part)};
	bool isnull[4] = {false, key == NULL, false, false};

	if (key != NULL)
		values[1] = CStringGetTextDatum(key);
	values[2] = Int64GetDatum(events);
	values[3] = Int64GetDatum(users);
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

static void
put_live_groups(ReturnSetInfo *result, const char *part, const MetricsRow *rows, int nrows)
{
	for (int i = 0; i < nrows; i++)
		put_live_row(result, part, rows[i].group, rows[i].total_events, rows[i].unique_users);
}

Datum
fi_live(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *site = SqlTextArgument(fcinfo, LIVE_SITE);
	int top = PG_ARGISNULL(LIVE_TOP) ? DEFAULT_LIVE_TOP : PG_GETARG_INT32(LIVE_TOP);
	MetricsFilter filter = {"site", 1, &site};
	LiveQuery query = {site != NULL, &filter, top};
	LiveAnswer *answer;

	check_arguments(site, top);
	InitMaterializedSRF(fcinfo, 0);
	answer = LiveCompute(&query);
	put_live_row(result, "last 5 minutes", NULL, answer->events_5, answer->users_5);
	put_live_row(result, "last 30 minutes", NULL, answer->events_30, answer->users_30);
	for (int i = 0; i < LIVE_MINUTES; i++)
	{
		const SeriesPoint *minute = &answer->minutes[i];

		put_live_row(result, "minute", CalendarInstant(minute->time), minute->total_events,
					 minute->unique_users);
	}
	put_live_groups(result, "page", answer->pages, answer->npages);
	put_live_groups(result, "event", answer->names, answer->nnames);
	return (Datum) 0;
}

Datum
fi_event_names(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MetricsQuery query = {.names = &SqlMetricsNames};
	EventNamesAnswer *answer;

	InitMaterializedSRF(fcinfo, 0);
	SqlRangeArguments(fcinfo, NAMES_SINCE, &query);
	SqlFilterArgument(fcinfo, NAMES_FILTER, &query);
	answer = EventNamesCompute(&query);
	for (int i = 0; i < answer->n; i++)
	{
		const EventName *name = &answer->names[i];
		Datum values[5] = {0};
		bool isnull[5] = {name->event_name == NULL, false, false, false, false};

		if (name->event_name != NULL)
			values[0] = CStringGetTextDatum(name->event_name);
		values[1] = Int64GetDatum(name->total_events);
		values[2] = Int64GetDatum(name->unique_users);
		values[3] = TimestampTzGetDatum(name->first_seen);
		values[4] = TimestampTzGetDatum(name->last_seen);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
