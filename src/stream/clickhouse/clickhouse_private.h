/*
 * clickhouse_private.h
 *
 * What the files clickhouse*.c share: the sink, and requests to its server.
 */
#ifndef FAST_INGEST_CLICKHOUSE_PRIVATE_H
#define FAST_INGEST_CLICKHOUSE_PRIVATE_H

#include "stream/clickhouse/clickhouse_answer.h"
#include "stream/sink/sink.h"

/* The first version that tells a body which was cut off from a whole one, whatever it holds. */
#define CLICKHOUSE_CHECKS_BODY 2303

/* Settings of our queries. Those that the target knows are sent. */
typedef enum
{
	SETTING_ASYNC_INSERT,
	SETTING_PARALLEL_PARSING,
	SETTING_NULL_AS_DEFAULT,
	SETTING_SKIP_UNKNOWN,
	SETTING_ERRORS_NUM,
	SETTING_ERRORS_RATIO,
	SETTING_MAX_PARTITIONS,
	SETTING_THROW_ON_MAX_PARTITIONS,
	SETTING_MAX_BLOCK_BYTES,
	SETTING_DEDUPLICATE_VIEWS,
	SETTING_INSERT_DEDUPLICATE, /* these three depend on the batch */
	SETTING_DEDUPLICATE_INSERT,
	SETTING_TOKEN,
	SETTING_MUTATIONS_SYNC /* of an ALTER TABLE, not of an INSERT */
} ClickHouseSetting;

#define NUM_CLICKHOUSE_SETTINGS (SETTING_MUTATIONS_SYNC + 1)

/* A setting's name, and its value where it is always the same. */
typedef struct
{
	const char *name;
	const char *value;
} ClickHouseSettingValue;

extern const ClickHouseSettingValue ClickHouseSettings[NUM_CLICKHOUSE_SETTINGS];

/* How times stand in the table, and whether NULL may be among the tags. */
typedef struct
{
	bool microseconds; /* ts_us Int64 in place of ts DateTime64(6); ingested_at_us likewise */
	bool null_tags;	   /* tags is an array of Nullable */
} ClickHouseShape;

/* What is known of the target. */
typedef struct
{
	int version;	 /* year * 100 + month; 0: not looked at yet */
	bool replicated; /* several servers have the table, and this one may lag */
	bool replacing;	 /* merges remove a row that is there twice */
	int64 window;	 /* batches that deduplication remembers; 0: it is off, or has no tokens */
	uint32 settings; /* a bit for each ClickHouseSetting that it knows */
	bool gzip_only;	 /* no zstd */
	ClickHouseShape shape;
} ClickHouseTarget;

typedef struct
{
	Sink base;
	Wire *wire;
	MemoryContext scratch; /* reset when a function of the sink begins */
	const char *headers[4];
	char *database; /* NULL: that of the connection */
	char *table;
	char *quoted; /* `database`.`table` */

	ClickHouseTarget target;
	ClickHouseShape shape; /* that encode() writes */
	bool encoded;		   /* it has written in this shape */
	bool reshaped;		   /* the target was found to have another shape since */
	char guarantee[80];

	uint64 doubted;		   /* hash of the batch that settle() was asked about last; 0: none */
	TimestampTz failed_at; /* when post() last failed for it; 0: before this process */
	TimestampTz short_at;  /* when rows of it were first found missing; 0: never */

	TimestampTz clear_since; /* the range that clear() works on */
	TimestampTz clear_until;
	char clear_tag[48]; /* marks its mutation; "": it has none */
} ClickHouse;

/* Begin a function of the sink: forget what the last one allocated. */
extern void ClickHouseBegin(ClickHouse *sink, SinkResult *result);

/* Set outcome and message, printf-like. */
extern void ClickHouseResult(SinkResult *result, SinkOutcome outcome, const char *format, ...)
	pg_attribute_printf(3, 4);

static inline bool
ClickHouseKnows(const ClickHouse *sink, ClickHouseSetting setting)
{
	return (sink->target.settings & (1u << setting)) != 0;
}

/*
 * Ask a query, of format TabSeparated, with parameters of the URL or NULL. False: no good answer;
 * *result says AGAIN, or IN_DOUBT if it may have had an effect. The answer's body is in the scratch
 * memory.
 */
extern bool ClickHouseAsk(ClickHouse *sink, const char *query, const char *parameters,
						  StringInfo body, SinkResult *result);

/* Wait so long. False: the caller's function gives up. */
extern bool ClickHouseNap(const ClickHouse *sink, long milliseconds);

/* A text between quotes, escaped: names take `, literals '. In the current memory context. */
extern char *ClickHouseQuote(char quote, const char *text);

/* A text as a string literal of SQL, in the scratch memory. */
extern char *ClickHouseLiteral(const char *text);

/* The condition that a row is of this stream and of [since, until), by column ts or ts_us. */
extern char *ClickHouseRange(const ClickHouse *sink, TimestampTz since, TimestampTz until);

/* The condition that a row of a system table is of our table; its columns have these names. */
extern char *ClickHouseTableCondition(const ClickHouse *sink, const char *table_column);

/* Look at the target. False: it is not fit for rows, *result says why: AGAIN. */
extern bool ClickHouseLook(ClickHouse *sink, SinkResult *result);

/* Those of SinkClass. */
extern void ClickHouseProbe(Sink *base, SinkResult *result);
extern void ClickHouseEncode(Sink *base, const StreamEvent *event, StringInfo line);
extern void ClickHousePost(Sink *base, const SinkBatch *batch, SinkResult *result);
extern void ClickHouseSettle(Sink *base, const SinkBatch *batch, SinkResult *result);
extern void ClickHouseClear(Sink *base, TimestampTz since, TimestampTz until, SinkResult *result);
extern void ClickHouseCount(Sink *base, TimestampTz since, TimestampTz until, int64 *counts,
							SinkResult *result);

/* A row that begins with this was refused by encode(); behind it stands the reason, a string. */
#define CLICKHOUSE_REFUSED "{\"_refused\":\""

#endif
