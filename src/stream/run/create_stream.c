/*
 * create_stream.c
 *
 * fi_create_stream(): checks a definition as far as that goes without the target, and stores it.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/spi.h"
#include "stream/backfill/backfill.h"
#include "stream/run/progress.h"
#include "stream/run/stream_admin.h"

PG_FUNCTION_INFO_V1(fi_create_stream);

/* Arguments of fi_create_stream. */
enum
{
	ARG_NAME,
	ARG_KIND,
	ARG_URL,
	ARG_TARGET,
	ARG_EVENT_NAMES,
	ARG_SITES,
	ARG_CHANNELS,
	ARG_COLUMNS,
	ARG_BACKFILL_SINCE,
	ARG_BATCH_ROWS,
	ARG_BATCH_BYTES,
	ARG_FLUSH_INTERVAL,
	ARG_COMPRESSION,
	ARG_USERNAME,
	ARG_SECRET,
	ARG_SECRET_FILE,
	ARG_CA_FILE,
	ARG_CERT_FILE,
	ARG_KEY_FILE,
	ARG_MAX_RETAINED_WAL,
	NUM_ARGS
};

static const char *const argument_names[NUM_ARGS] = {
	"name",		   "kind",			 "url",			"target",		  "event_names",
	"sites",	   "channels",		 "columns",		"backfill_since", "batch_rows",
	"batch_bytes", "flush_interval", "compression", "username",		  "secret",
	"secret_file", "ca_file",		 "cert_file",	"key_file",		  "max_retained_wal"};

static const struct
{
	int argument;
	int min;
	int max;
} ranges[] = {{ARG_BATCH_ROWS, 1, 1000000}, {ARG_BATCH_BYTES, 1024, 64 * 1024 * 1024}};

/* of flush_interval, in milliseconds */
#define MIN_FLUSH_INTERVAL 10
#define MAX_FLUSH_INTERVAL (3600 * 1000)

/* bytes: less could not hold the WAL between two checkpoints */
#define MIN_RETAINED_WAL (16 * 1024 * 1024)

static char *
get_text(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/*
 * The values of a list. An ERROR if it is empty, or has a NULL.
 */
static StreamFilter
get_list(FunctionCallInfo fcinfo, int argument)
{
	ArrayType *list;

	if (PG_ARGISNULL(argument))
		return NULL;
	list = PG_GETARG_ARRAYTYPE_P(argument);
	if (ArrayGetNItems(ARR_NDIM(list), ARR_DIMS(list)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is empty", argument_names[argument]), errhint("NULL is for all.")));
	if (array_contains_nulls(list))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s has a NULL in it", argument_names[argument])));
	return StreamFilterOf(list);
}

/*
 * A file of the server may be named only by who may read it by other means as well
 */
static char *
get_file(FunctionCallInfo fcinfo, int argument)
{
	char *path = get_text(fcinfo, argument);

	if (path != NULL && !has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\" must not name a file of the server as %s",
							   GetUserNameFromId(GetUserId(), false), argument_names[argument]),
						errhint("Grant it pg_read_server_files.")));
	return path;
}

static int
get_flush_interval(FunctionCallInfo fcinfo)
{
	const Interval *interval = PG_GETARG_INTERVAL_P(ARG_FLUSH_INTERVAL);
	int64 ms = -1;

	if (interval->month == 0 && interval->day == 0)
		ms = interval->time / 1000;
	if (ms < MIN_FLUSH_INTERVAL || ms > MAX_FLUSH_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("flush_interval \"%s\" is not valid: expected 10 milliseconds to 1 hour",
						DatumGetCString(DirectFunctionCall1(
							interval_out, PG_GETARG_DATUM(ARG_FLUSH_INTERVAL))))));
	return (int) ms;
}

/*
 * Read and check the arguments as far as that goes without the target
 */
static void
get_definition(FunctionCallInfo fcinfo, Stream *stream)
{
	static const int required[] = {
		ARG_NAME,		 ARG_KIND,			 ARG_URL,		  ARG_BATCH_ROWS,
		ARG_BATCH_BYTES, ARG_FLUSH_INTERVAL, ARG_COMPRESSION, ARG_MAX_RETAINED_WAL};

	for (int i = 0; i < (int) lengthof(required); i++)
		if (PG_ARGISNULL(required[i]))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s is NULL", argument_names[required[i]])));
	for (int i = 0; i < (int) lengthof(ranges); i++)
		if (PG_GETARG_INT32(ranges[i].argument) < ranges[i].min ||
			PG_GETARG_INT32(ranges[i].argument) > ranges[i].max)
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s %d is not valid: expected %d to %d", argument_names[ranges[i].argument],
						PG_GETARG_INT32(ranges[i].argument), ranges[i].min, ranges[i].max)));

	memset(stream, 0, sizeof(*stream));
	stream->name = get_text(fcinfo, ARG_NAME);
	if (stream->name[0] == '\0' || strlen(stream->name) >= STREAM_NAME_SIZE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name \"%s\" is not valid: expected 1 to %d bytes", stream->name,
							   STREAM_NAME_SIZE - 1)));
	stream->kind = StreamKindOf(get_text(fcinfo, ARG_KIND));
	stream->url = get_text(fcinfo, ARG_URL);
	stream->target = get_text(fcinfo, ARG_TARGET);
	stream->event_names = get_list(fcinfo, ARG_EVENT_NAMES);
	stream->sites = get_list(fcinfo, ARG_SITES);
	stream->channels = get_list(fcinfo, ARG_CHANNELS);
	stream->columns = StreamColumnsOf(get_list(fcinfo, ARG_COLUMNS));
	stream->batch_rows = PG_GETARG_INT32(ARG_BATCH_ROWS);
	stream->batch_bytes = PG_GETARG_INT32(ARG_BATCH_BYTES);
	stream->flush_interval = get_flush_interval(fcinfo);
	stream->compression = StreamCompressionOf(get_text(fcinfo, ARG_COMPRESSION));
	stream->username = get_text(fcinfo, ARG_USERNAME);
	stream->secret = get_text(fcinfo, ARG_SECRET);
	stream->secret_file = get_file(fcinfo, ARG_SECRET_FILE);
	stream->ca_file = get_file(fcinfo, ARG_CA_FILE);
	stream->cert_file = get_file(fcinfo, ARG_CERT_FILE);
	stream->key_file = get_file(fcinfo, ARG_KEY_FILE);
	stream->max_retained_wal =
		DatumGetInt64(DirectFunctionCall1(pg_size_bytes, PG_GETARG_DATUM(ARG_MAX_RETAINED_WAL)));
	if (stream->max_retained_wal < MIN_RETAINED_WAL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_retained_wal \"%s\" is not valid: expected at least 16MB",
							   get_text(fcinfo, ARG_MAX_RETAINED_WAL))));
	if (stream->secret != NULL && stream->secret_file != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret and secret_file are both given"), errhint("Give one of them.")));
	StreamReadSecretFile(stream);
	SinkCheckDefinition(stream);
}

/*
 * Store the definition. Returns the number of the worker that serves it.
 */
static int
insert_stream(FunctionCallInfo fcinfo, Stream *stream)
{
	static const int stored[] = {
		ARG_NAME,			ARG_KIND,		 ARG_URL,	   ARG_TARGET,		ARG_EVENT_NAMES,
		ARG_SITES,			ARG_CHANNELS,	 ARG_COLUMNS,  ARG_BATCH_ROWS,	ARG_BATCH_BYTES,
		ARG_FLUSH_INTERVAL, ARG_COMPRESSION, ARG_USERNAME, ARG_SECRET_FILE, ARG_CA_FILE,
		ARG_CERT_FILE,		ARG_KEY_FILE};
	Oid types[lengthof(stored) + 2] = {
		TEXTOID,	  TEXTOID, TEXTOID, TEXTOID,	 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, INT4OID, INT4OID, INTERVALOID, TEXTOID,	   TEXTOID,		 TEXTOID,
		TEXTOID,	  TEXTOID, TEXTOID, INT8OID,	 INT4OID};
	Datum values[lengthof(types)];
	char nulls[lengthof(types) + 1];
	int n = lengthof(stored);
	bool isnull;

	memset(nulls, ' ', lengthof(types));
	nulls[lengthof(types)] = '\0';
	for (int i = 0; i < n; i++)
	{
		values[i] = PG_GETARG_DATUM(stored[i]);
		nulls[i] = PG_ARGISNULL(stored[i]) ? 'n' : ' ';
	}
	values[n] = Int64GetDatum(stream->max_retained_wal);
	values[n + 1] = Int32GetDatum(fi_max_streams);

	/* no other stream takes the same worker */
	(void) SpiRun("LOCK TABLE fast_ingest.streams IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY);
	PushActiveSnapshot(GetLatestSnapshot());
	if (SpiSelect("SELECT FROM fast_ingest.streams WHERE name = $1", 1, 1, types, values) > 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("stream \"%s\" exists already", stream->name),
						errhint("Take another name, or call fi_drop_stream().")));
	if (SpiRunWithNulls(
			"INSERT INTO fast_ingest.streams (name, kind, url, target, event_names, sites, channels,"
			" columns, batch_rows, batch_bytes, flush_interval, compression, username, secret_file,"
			" ca_file, cert_file, key_file, max_retained_wal, worker)"
			" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
			" w FROM generate_series(0, $19 - 1) w"
			" WHERE NOT EXISTS (SELECT FROM fast_ingest.streams s WHERE s.worker = w)"
			" ORDER BY w LIMIT 1 RETURNING id, worker",
			SPI_OK_INSERT_RETURNING, lengthof(types), types, values, nulls) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("there are fast_ingest.max_streams = %d streams already", fi_max_streams),
			 errhint("Drop a stream, or raise fast_ingest.max_streams and restart the server.")));
	PopActiveSnapshot();
	stream->id =
		DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
}

static void
insert_secret(int32 stream_id, text *secret)
{
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[] = {Int32GetDatum(stream_id), PointerGetDatum(secret)};

	(void) SpiRunWith("INSERT INTO fast_ingest.stream_secrets (stream_id, secret) VALUES ($1, $2)",
					  SPI_OK_INSERT, 2, types, values);
}

/*
 * An error must bring neither the statement, nor the parameters that the context shows, into the
 * server's log
 */
static void
hide_secret(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

/*
 * fi_create_stream(name text, kind text, url text, ...): see argument_names
 */
Datum
fi_create_stream(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hiding = {.callback = hide_secret, .previous = error_context_stack};
	Stream stream;
	SavedUser user;
	int worker;

	if (!PG_ARGISNULL(ARG_SECRET))
		error_context_stack = &hiding;
	StreamAdminRequire();
	get_definition(fcinfo, &stream);
	user = ActAsRollupOwner();
	SPI_connect();
	worker = insert_stream(fcinfo, &stream);
	if (!PG_ARGISNULL(ARG_SECRET))
		insert_secret(stream.id, PG_GETARG_TEXT_PP(ARG_SECRET));
	ProgressNewEpoch(stream.id);
	if (!PG_ARGISNULL(ARG_BACKFILL_SINCE))
		BackfillAdd(&stream, PG_GETARG_TIMESTAMPTZ(ARG_BACKFILL_SINCE), DT_NOEND, false);
	SPI_finish();
	ActAsCallerAgain(user);
	StreamCommandAtCommit(worker, stream.id, true);
	error_context_stack = hiding.previous;
	PG_RETURN_VOID();
}
