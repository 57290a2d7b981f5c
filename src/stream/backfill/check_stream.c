/*
 * check_stream.c
 *
 * fi_check_stream(): counts the events of UTC days here and in the target of a stream.
 *
 * Here are the rows that the caller's snapshot shows and that pass the stream's filters. What is
 * on its way makes the two differ, so the answer means most for days that are over.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/unix_time.h"
#include "db/act_as_owner.h"
#include "db/spi.h"
#include "stream/sink/sink.h"
#include "stream/stream.h"

/* Days of one call. */
#define MAX_DAYS 3660

PG_FUNCTION_INFO_V1(fi_check_stream);

static bool
go_on(void *arg)
{
	CHECK_FOR_INTERRUPTS();
	return true;
}

/*
 * A filter as text[], or NULL
 */
static Datum
make_array(StreamFilter filter, char *null)
{
	Datum *values;
	int n = 0;

	*null = filter == NULL ? 'n' : ' ';
	if (filter == NULL)
		return (Datum) 0;
	while (filter[n] != NULL)
		n++;
	values = palloc(Max(n, 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(filter[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Count the rows of each day
 */
static void
count_here(const Stream *stream, TimestampTz since, int days, int64 *counts)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	char nulls[] = "     ";
	Datum values[] = {TimestampTzGetDatum(since), TimestampTzGetDatum(since + days * USECS_PER_DAY),
					  make_array(stream->event_names, &nulls[2]),
					  make_array(stream->sites, &nulls[3]),
					  make_array(stream->channels, &nulls[4])};
	SavedUser user = ActAsEventsOwner();
	uint64 n = SpiRunWithNulls(
		"SELECT pg_catalog.date_trunc('day', ts, 'UTC'), pg_catalog.count(*)"
		" FROM fast_ingest.events WHERE ts >= $1 AND ts < $2"
		" AND ($3 IS NULL OR event_name = ANY ($3)) AND ($4 IS NULL OR site_id = ANY ($4))"
		" AND ($5 IS NULL OR channel = ANY ($5)) GROUP BY 1",
		SPI_OK_SELECT, lengthof(types), types, values, nulls);

	ActAsCallerAgain(user);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		TimestampTz day = DatumGetTimestampTz(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		counts[(day - since) / USECS_PER_DAY] =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Ask the target for the same. False if it cannot count.
 */
static bool
count_there(const Stream *stream, TimestampTz since, int days, int64 *counts)
{
	Sink *sink = SinkOpen(stream);
	SinkResult result;
	bool can_count = sink->class->count != NULL;

	sink->go_on = go_on;
	PG_TRY();
	{
		if (can_count)
		{
			memset(&result, 0, sizeof(result));
			sink->class->probe(sink, &result);
			if (result.outcome == SINK_DONE)
				sink->class->count(sink, since, since + days * USECS_PER_DAY, counts, &result);
			if (result.outcome != SINK_DONE)
				ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
								errmsg("the target of stream \"%s\" does not count: %s",
									   stream->name, result.message)));
		}
	}
	PG_FINALLY();
	{
		sink->class->close(sink);
	}
	PG_END_TRY();
	return can_count;
}

static DateADT
get_date(FunctionCallInfo fcinfo, int argument, const char *name)
{
	DateADT date = PG_GETARG_DATEADT(argument);

	if (DATE_NOT_FINITE(date))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be finite", name)));
	return date;
}

Datum
fi_check_stream(PG_FUNCTION_ARGS)
{
	DateADT since;
	DateADT until;
	int64 *here;
	int64 *target;
	int days;
	bool can_count;
	SavedUser user;
	Stream stream;

	for (int i = 0; i < 2; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s is NULL", i == 0 ? "name" : "since")));
	}
	since = get_date(fcinfo, 1, "since");
	until = PG_ARGISNULL(2) ? since + 1 : get_date(fcinfo, 2, "until");
	if (until <= since || until - since > MAX_DAYS || !IS_VALID_DATE(since) ||
		!IS_VALID_DATE(until))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("until must be behind since, by at most %d days", MAX_DAYS)));
	days = until - since;
	here = palloc0(days * sizeof(int64));
	target = palloc0(days * sizeof(int64));
	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	user = ActAsRollupOwner();
	StreamReadByName(text_to_cstring(PG_GETARG_TEXT_PP(0)), &stream);
	StreamReadSecretFile(&stream);
	ActAsCallerAgain(user);
	count_here(&stream, since * USECS_PER_DAY, days, here);
	can_count = count_there(&stream, since * USECS_PER_DAY, days, target);
	if (!can_count)
		ereport(NOTICE,
				(errmsg("the target of stream \"%s\" cannot be asked how many events it has",
						stream.name)));
	SPI_finish();

	for (int day = 0; day < days; day++)
	{
		Datum values[] = {DateADTGetDatum(since + day), Int64GetDatum(here[day]),
						  Int64GetDatum(target[day]), BoolGetDatum(here[day] == target[day])};
		bool nulls[] = {false, false, !can_count, !can_count};
		ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
