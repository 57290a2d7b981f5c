/*
 * sink.h
 *
 * What a kind of target can do. The functions do not use the database, except that probe and
 * open may raise an ERROR for a definition that cannot be right. None runs inside a
 * transaction of a worker.
 */
#ifndef FAST_INGEST_SINK_H
#define FAST_INGEST_SINK_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "stream/stream.h"
#include "stream/wire/http_post.h"

#define SINK_MESSAGE_SIZE WIRE_MESSAGE_SIZE

/* A row of a batch, as encode() wrote it. */
typedef struct
{
	const char *line;
	uint32 len;
	uint64 lsn;
	uint64 n;
} SinkRow;

/*
 * A batch: the same id always means the same rows, in the same order, with the same bytes.
 */
typedef struct
{
	const char *id; /* such as "fi-EPOCH-TIMELINE-NUMBER": [A-Za-z0-9-] only */
	uint64 hash;	/* 63 bits of SHA-256 of the id: ClickHouse's column _batch */
	const SinkRow *rows;
	int nrows;
} SinkBatch;

typedef enum
{
	SINK_DONE,		  /* the target has all rows, once */
	SINK_AGAIN,		  /* it has none of them, or takes the same batch twice as once: post again */
	SINK_IN_DOUBT,	  /* unknown: settle() before anything else */
	SINK_ROW_REFUSED, /* it took none because a row is not acceptable; halving finds it */
	SINK_BLOCKED,	  /* it has some rows, and a person must look: state blocked */
	SINK_PAUSE,		  /* it asks not to be called again (HTTP 410): state paused */
	SINK_RESHAPED	  /* the rows were encoded for another shape of the target: start over */
} SinkOutcome;

typedef struct
{
	SinkOutcome outcome;
	long retry_after; /* ms that the target asked to wait; 0: none */
	size_t bytes_sent;
	char message[SINK_MESSAGE_SIZE]; /* what is wrong, for fi_streams(); no secret, no event */
} SinkResult;

typedef struct Sink Sink;

typedef struct
{
	/*
	 * Look at the target before the first row: reachable, right table, right columns. DONE,
	 * AGAIN or BLOCKED.
	 */
	void (*probe)(Sink *sink, SinkResult *result);

	/* Append an event as this target takes it: one line of JSON, without a line feed. */
	void (*encode)(Sink *sink, const StreamEvent *event, StringInfo line);

	/* Send a batch. */
	void (*post)(Sink *sink, const SinkBatch *batch, SinkResult *result);

	/*
	 * After a doubt, and after a restart in the midst of a post: find out what became of the
	 * batch. DONE: it is there. AGAIN: post it again. IN_DOUBT: could not be found out now.
	 * NULL: a doubtful batch is posted again (at least once).
	 */
	void (*settle)(Sink *sink, const SinkBatch *batch, SinkResult *result);

	/*
	 * Remove the events of [since, until) from the target, so that they can be sent again.
	 * DONE when they are gone. NULL: the target keeps what it has.
	 */
	void (*clear)(Sink *sink, TimestampTz since, TimestampTz until, SinkResult *result);

	/*
	 * Count the target's events of [since, until) by UTC day into *counts, an array of one
	 * int64 for each day from since's on. NULL: the target cannot count.
	 */
	void (*count)(Sink *sink, TimestampTz since, TimestampTz until, int64 *counts,
				  SinkResult *result);

	void (*close)(Sink *sink);
} SinkClass;

struct Sink
{
	const SinkClass *class;
	const Stream *stream;
	WireGoOn go_on; /* set by the caller before probe, post, settle, clear or count */
	void *go_on_arg;
	const char *guarantee; /* "exactly once", "at least once": known after probe, else NULL */
};

/* The sink of a stream, in the current memory context. An ERROR names the field and the value. */
extern Sink *SinkOpen(const Stream *stream);

/* Check a definition without talking to the target: what fi_create_stream() calls. */
extern void SinkCheckDefinition(const Stream *stream);

/* The kinds; used by sink.c only. */
extern Sink *ClickHouseOpen(const Stream *stream);
extern Sink *KafkaRestOpen(const Stream *stream);
extern Sink *WebhookOpen(const Stream *stream);

#endif
