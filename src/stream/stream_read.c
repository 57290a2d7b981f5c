/*
 * stream_read.c
 *
 * Reading the definition of a stream, and its secret, from the tables.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/fd.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "db/spi.h"
#include "stream/stream.h"

/* The longest secret in a file, bytes. */
#define MAX_SECRET 4096

#define SELECT_STREAM \
	"SELECT s.id, s.name, s.kind, s.url, s.source, s.target, s.event_names, s.sites, s.channels," \
	" s.columns, s.batch_rows, s.batch_bytes," \
	" (pg_catalog.date_part('epoch', s.flush_interval) OPERATOR(pg_catalog.*) 1000)" \
	"::pg_catalog.int4, s.compression, s.username, x.secret, s.ca_file, s.cert_file," \
	" s.key_file, s.max_retained_wal, s.paused, s.secret_file, s.worker" \
	" FROM fast_ingest.streams s LEFT JOIN fast_ingest.stream_secrets x" \
	" ON x.stream_id OPERATOR(pg_catalog.=) s.id"

enum
{
	COL_ID = 1,
	COL_NAME,
	COL_KIND,
	COL_URL,
	COL_SOURCE,
	COL_TARGET,
	COL_EVENT_NAMES,
	COL_SITES,
	COL_CHANNELS,
	COL_COLUMNS,
	COL_BATCH_ROWS,
	COL_BATCH_BYTES,
	COL_FLUSH_INTERVAL,
	COL_COMPRESSION,
	COL_USERNAME,
	COL_SECRET,
	COL_CA_FILE,
	COL_CERT_FILE,
	COL_KEY_FILE,
	COL_MAX_RETAINED_WAL,
	COL_PAUSED,
	COL_SECRET_FILE,
	COL_WORKER
};

static Datum
get_column(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

static char *
get_text(int column)
{
	bool isnull;
	Datum value = get_column(column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int32
get_int32(int column)
{
	bool isnull;

	return DatumGetInt32(get_column(column, &isnull));
}

StreamFilter
StreamFilterOf(ArrayType *array)
{
	Datum *elements;
	bool *nulls;
	int n;
	StreamFilter filter;
	int count = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	filter = palloc((n + 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			filter[count++] = TextDatumGetCString(elements[i]);
	filter[count] = NULL;
	return filter;
}

static StreamFilter
get_filter(int column)
{
	bool isnull;
	Datum value = get_column(column, &isnull);

	return isnull ? NULL : StreamFilterOf(DatumGetArrayTypeP(value));
}

uint32
StreamColumnsOf(const StreamFilter names)
{
	uint32 columns = 0;

	if (names == NULL)
		return (1u << NUM_STREAM_COLUMNS) - 1;
	for (int i = 0; names[i] != NULL; i++)
	{
		int column = 0;

		while (column < NUM_STREAM_COLUMNS && strcmp(names[i], StreamColumnNames[column]) != 0)
			column++;
		if (column == NUM_STREAM_COLUMNS)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("column \"%s\" of columns does not exist", names[i]),
							errhint("Columns are those of fast_ingest.events.")));
		columns |= 1u << column;
	}
	return columns;
}

static int
find_name(const char *const names[3], const char *field, const char *value)
{
	for (int i = 0; i < 3; i++)
		if (strcmp(names[i], value) == 0)
			return i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not known", field, value),
					errhint("It is one of %s, %s, %s.", names[0], names[1], names[2])));
}

StreamKind
StreamKindOf(const char *name)
{
	return (StreamKind) find_name(StreamKindNames, "kind", name);
}

StreamCompression
StreamCompressionOf(const char *name)
{
	static const char *const names[] = {"none", "gzip", "zstd"};

	return (StreamCompression) find_name(names, "compression", name);
}

void
StreamReadSecretFile(Stream *stream)
{
	const char *path = stream->secret_file;
	FILE *file;
	char *secret;
	size_t len;

	if (path == NULL)
		return;
	file = AllocateFile(path, PG_BINARY_R);
	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not open secret_file \"%s\": %m", path)));
	secret = palloc(MAX_SECRET + 1);
	len = fread(secret, 1, MAX_SECRET + 1, file);
	if (ferror(file))
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not read secret_file \"%s\": %m", path)));
	FreeFile(file);
	while (len > 0 && len <= MAX_SECRET && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
		len--;
	if (len == 0 || len > MAX_SECRET || memchr(secret, '\0', len) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("secret_file \"%s\" has no secret", path),
						errdetail("It must have 1 to %d bytes, none of them 0.", MAX_SECRET)));
	secret[len] = '\0';
	stream->secret = secret;
}

/*
 * Fill in the stream from the row that was read
 */
static void
read_row(Stream *stream)
{
	bool isnull;

	memset(stream, 0, sizeof(*stream));
	stream->id = get_int32(COL_ID);
	stream->worker = get_int32(COL_WORKER);
	stream->name = get_text(COL_NAME);
	stream->kind = StreamKindOf(get_text(COL_KIND));
	stream->url = get_text(COL_URL);
	stream->source = get_text(COL_SOURCE);
	stream->target = get_text(COL_TARGET);
	stream->event_names = get_filter(COL_EVENT_NAMES);
	stream->sites = get_filter(COL_SITES);
	stream->channels = get_filter(COL_CHANNELS);
	stream->columns = StreamColumnsOf(get_filter(COL_COLUMNS));
	stream->batch_rows = get_int32(COL_BATCH_ROWS);
	stream->batch_bytes = get_int32(COL_BATCH_BYTES);
	stream->flush_interval = get_int32(COL_FLUSH_INTERVAL);
	stream->compression = StreamCompressionOf(get_text(COL_COMPRESSION));
	stream->username = get_text(COL_USERNAME);
	stream->secret = get_text(COL_SECRET);
	stream->secret_file = get_text(COL_SECRET_FILE);
	stream->ca_file = get_text(COL_CA_FILE);
	stream->cert_file = get_text(COL_CERT_FILE);
	stream->key_file = get_text(COL_KEY_FILE);
	stream->max_retained_wal = DatumGetInt64(get_column(COL_MAX_RETAINED_WAL, &isnull));
	stream->paused = DatumGetBool(get_column(COL_PAUSED, &isnull));
}

bool
StreamRead(int worker, Stream *stream)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(worker)};

	if (SpiSelect(SELECT_STREAM " WHERE s.worker OPERATOR(pg_catalog.=) $1", 1, 1, types, values) ==
		0)
		return false;
	read_row(stream);
	StreamReadSecretFile(stream);
	return true;
}

void
StreamReadByName(const char *name, Stream *stream)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};

	if (SpiSelect(SELECT_STREAM " WHERE s.name OPERATOR(pg_catalog.=) $1", 1, 1, types, values) ==
		0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("stream \"%s\" does not exist", name)));
	read_row(stream);
}
