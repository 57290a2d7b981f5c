/*
 * stream.h
 *
 * The definition of a stream, as fi_create_stream() stored it, and an event on its way
 * through one.
 */
#ifndef FAST_INGEST_STREAM_H
#define FAST_INGEST_STREAM_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "base/text_slice.h"

typedef enum
{
	STREAM_CLICKHOUSE,
	STREAM_KAFKA_REST,
	STREAM_WEBHOOK
} StreamKind;

#define NUM_STREAM_KINDS (STREAM_WEBHOOK + 1)

typedef enum
{
	STREAM_COMPRESS_NONE,
	STREAM_COMPRESS_GZIP,
	STREAM_COMPRESS_ZSTD
} StreamCompression;

/* The columns of fast_ingest.events that a stream may carry, in their order in the table. */
typedef enum
{
	COLUMN_EVENT_NAME,
	COLUMN_CHANNEL,
	COLUMN_USER_ID,
	COLUMN_TS,
	COLUMN_CAMPAIGN_ID,
	COLUMN_SITE_ID,
	COLUMN_PATH,
	COLUMN_TAGS,
	COLUMN_METADATA,
	COLUMN_EVENT_KEY,
	COLUMN_INGESTED_AT
} StreamColumn;

#define NUM_STREAM_COLUMNS (COLUMN_INGESTED_AT + 1)

/* The names of kinds, and of columns. */
extern const char *const StreamKindNames[NUM_STREAM_KINDS];
extern const char *const StreamColumnNames[NUM_STREAM_COLUMNS];

struct ArrayType;

/* A filter's values, each NUL-terminated, NULL behind the last one. NULL: all pass. */
typedef char **StreamFilter;

/* A timeline of this server's WAL. */
typedef struct
{
	uint32 id;
	uint64 begin; /* the position from which on it is this one */
} StreamTimeline;

typedef struct
{
	int32 id;
	int worker; /* number of the one that serves it */
	char *name;
	StreamKind kind;
	char *url;
	char *source; /* tells its events from those of other streams to one table; hex digits */
	char *target; /* the table of ClickHouse, maybe with its database, or Kafka's topic */
	StreamFilter event_names;
	StreamFilter sites;
	StreamFilter channels;
	uint32 columns; /* a bit 1 << StreamColumn for each */
	int batch_rows;
	int batch_bytes;	/* of encoded rows, before compression */
	int flush_interval; /* ms from the first row of a batch until it is sent */
	StreamCompression compression;
	char *username;	   /* NULL: none */
	char *secret;	   /* password, or the webhook's signing secret "whsec_..."; NULL: none */
	char *secret_file; /* that has the secret; NULL: none */
	char *ca_file;	   /* PEM; NULL: the system's authorities */
	char *cert_file;   /* PEM, of the client; NULL: none */
	char *key_file;
	int64 max_retained_wal; /* bytes */
	bool paused;
	/*
	 * With what an event's id begins if the event has no event_key: the stream's epoch and the
	 * timeline that the event was committed on. So an event keeps its id when a standby is
	 * promoted. Set by the worker before SinkOpen(); NULL where nothing is sent.
	 */
	char *epoch;
	StreamTimeline *timelines; /* newest first */
	int ntimelines;
} Stream;

static inline bool
StreamCarries(const Stream *stream, StreamColumn column)
{
	return (stream->columns & (1u << column)) != 0;
}

/*
 * An event as a stream reads it. Texts have data NULL where the column is NULL. (lsn, n) is
 * its position: unique, and ascending in the order of commits.
 */
typedef struct
{
	uint64 lsn;	   /* of the commit; for an event read from the table the number of the backfill */
	uint64 n;	   /* of the event in its transaction, from 1; backfill: see BackfillPosition() */
	Oid partition; /* that a backfill reads; InvalidOid for an event from WAL */
	Slice event_name;
	Slice channel;
	Slice user_id;
	Slice campaign_id;
	Slice site_id;
	Slice path;
	Slice metadata; /* JSON text */
	bool has_tags;
	int ntags;
	Slice *tags;			/* an element may be NULL */
	const uint8 *event_key; /* 16 bytes, or NULL */
	TimestampTz ts;
	TimestampTz ingested_at; /* both may be infinite */
	bool too_large;			 /* to be sent: metadata and tags are left out; see STREAM_UNSENDABLE */
} StreamEvent;

/*
 * With what the line of an event begins that is not sent: what follows says why. No encoder
 * begins a line so. Such an event becomes a dead letter in its turn.
 */
#define STREAM_UNSENDABLE '!'
#define STREAM_TOO_LARGE "!the event is too large: its text would have more than 100 MB"

/* Does an event pass the filters? */
extern bool StreamWants(const Stream *stream, const StreamEvent *event);

/*
 * Read the stream that worker number i serves (column streams.worker), with its secret, into
 * the current memory context. False if there is none. In a transaction, connected to SPI.
 */
extern bool StreamRead(int worker, Stream *stream);

/* The same, of a name, without the secret of a file; an ERROR if there is none. */
extern void StreamReadByName(const char *name, Stream *stream);

/* Read the secret if it is in a file. An ERROR if that cannot be read or has none. */
extern void StreamReadSecretFile(Stream *stream);

/*
 * Parts of a definition as SQL has them: a list, whose NULLs are left out; the columns of a
 * list of their names, NULL is all of them; a kind and a compression by name. An ERROR for what
 * is not known.
 */
extern StreamFilter StreamFilterOf(struct ArrayType *array);
extern uint32 StreamColumnsOf(const StreamFilter names);
extern StreamKind StreamKindOf(const char *name);
extern StreamCompression StreamCompressionOf(const char *name);

#endif
