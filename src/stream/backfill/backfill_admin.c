/*
 * backfill_admin.c
 *
 * Asks for backfills, and for dead letters to be sent again. The worker does the work.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/spi.h"
#include "shared/stream_slot.h"
#include "stream/backfill/backfill_private.h"

/* Only targets of this kind can remove events. */
#define CAN_CLEAR(stream) ((stream)->kind == STREAM_CLICKHOUSE)

PG_FUNCTION_INFO_V1(fi_resend_stream);
PG_FUNCTION_INFO_V1(fi_retry_stream_dead_letters);

void
BackfillAdd(const Stream *stream, TimestampTz since, TimestampTz until, bool clear)
{
	BackfillInsert(stream->id, since, until, 0, clear && CAN_CLEAR(stream));
}

void
BackfillAddRefill(const Stream *stream)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(stream->id)};
	uint64 unsent = 0;
	bool isnull;

	if (SpiRunWith("SELECT unsent_xid FROM fast_ingest.stream_progress"
				   " WHERE stream_id OPERATOR(pg_catalog.=) $1",
				   SPI_OK_SELECT, lengthof(types), types, values) > 0)
		unsent = (uint64) DatumGetInt64(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	else
		ereport(NOTICE, (errmsg("nothing is known of what stream \"%s\" has sent: all events are "
								"sent again",
								stream->name)));
	SPI_freetuptable(SPI_tuptable);
	/* a target that can remove events gets whole days: those of which there is any event here */
	if (CAN_CLEAR(stream))
		unsent = Max(unsent, (uint64) FirstNormalTransactionId);
	BackfillInsert(stream->id, DT_NOBEGIN, DT_NOEND, unsent, CAN_CLEAR(stream));
}

/*
 * Check that a target would not lose events of before the oldest partition
 */
static void
check_range(const Stream *stream, TimestampTz since, TimestampTz until)
{
	TimestampTz begin;

	if (since >= until)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("since must be before until: %s, %s", timestamptz_to_str(since),
							   pstrdup(timestamptz_to_str(until)))));
	if (!CAN_CLEAR(stream))
		return;
	begin = EventsBegin();
	if (since < begin)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the target would lose the events before %s", timestamptz_to_str(begin)),
				 errdetail("It removes the range first, and fast_ingest.events has no partition "
						   "before that time."),
				 errhint("Take a range that begins there or later.")));
}

Datum
fi_resend_stream(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"name", "since", "until"};
	TimestampTz since;
	TimestampTz until;
	SavedUser user;
	Stream stream;

	for (int i = 0; i < (int) lengthof(names); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is NULL", names[i])));
	since = PG_GETARG_TIMESTAMPTZ(1);
	until = PG_GETARG_TIMESTAMPTZ(2);
	user = ActAsRollupOwner();
	SPI_connect();
	StreamReadByName(text_to_cstring(PG_GETARG_TEXT_PP(0)), &stream);
	check_range(&stream, since, until);
	BackfillAdd(&stream, since, until, true);
	SPI_finish();
	ActAsCallerAgain(user);
	StreamCommandAtCommit(stream.worker, 0, false);
	PG_RETURN_VOID();
}

Datum
fi_retry_stream_dead_letters(PG_FUNCTION_ARGS)
{
	Oid types[] = {INT4OID, INT8ARRAYOID};
	Datum values[2];
	SavedUser user;
	Stream stream;
	int64 count;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name is NULL")));
	user = ActAsRollupOwner();
	SPI_connect();
	StreamReadByName(text_to_cstring(PG_GETARG_TEXT_PP(0)), &stream);
	values[0] = Int32GetDatum(stream.id);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	count = (int64) SpiRunWithNulls("UPDATE fast_ingest.stream_dead_letters SET retry = true"
									" WHERE stream_id OPERATOR(pg_catalog.=) $1 AND NOT retry"
									" AND ($2 IS NULL OR id OPERATOR(pg_catalog.=) ANY ($2))",
									SPI_OK_UPDATE, lengthof(types), types, values,
									PG_ARGISNULL(1) ? " n" : "  ");
	SPI_finish();
	ActAsCallerAgain(user);
	if (count > 0)
		StreamCommandAtCommit(stream.worker, 0, false);
	PG_RETURN_INT64(count);
}
