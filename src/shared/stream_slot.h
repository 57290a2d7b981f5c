/*
 * stream_slot.h
 *
 * What the processes share about streams: for each stream worker the stream that it serves,
 * its state and its counters. They are since the start of the server; what must outlive it is
 * in table fast_ingest.stream_progress.
 *
 * Locking: the texts and what stands beside them are written by the worker under worker.lock,
 * and copied under it. Atomics are written by the worker, except for commands.
 */
#ifndef FAST_INGEST_STREAM_SLOT_H
#define FAST_INGEST_STREAM_SLOT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "base/settings.h"
#include "shared/shared_part.h"
#include "shared/worker_slot.h"

/* Room for a stream's name, with its NUL. */
#define STREAM_NAME_SIZE NAMEDATALEN

typedef enum
{
	STREAM_NONE,	/* the worker serves no stream */
	STREAM_WAITING, /* for something in this database, such as an old transaction */
	STREAM_RUNNING,
	STREAM_RETRYING, /* the target does not take what was sent; tried again by itself */
	STREAM_PAUSED,	 /* by fi_pause_stream() or a webhook's 410 */
	STREAM_BLOCKED,	 /* only a person can tell what the target has */
	STREAM_LOST		 /* events were not sent, and the position is gone: fi_resume_stream() */
} StreamState;

#define NUM_STREAM_STATES (STREAM_LOST + 1)

/* Why a stream without a row of fast_ingest.stream_progress is lost. */
#define STREAM_NO_POSITION "its position is not in this database: it was restored from a dump"

typedef struct
{
	WorkerSlot worker; /* the state of the process; worker.last_error is the stream's last error */

	pg_atomic_uint32 state; /* StreamState */
	/* grows whenever somebody has changed the definition; the worker reads it again */
	pg_atomic_uint32 commands;
	/*
	 * The id of a stream that may make its replication slot, or 0. Only fi_create_stream() and
	 * fi_resume_stream() set it: the right to post must not come from a copied table.
	 */
	pg_atomic_uint32 may_create_slot;
	/* grows with each fi_resume_stream(): somebody has looked, so wait no longer */
	pg_atomic_uint32 resumes;
	/* errors in a row that have ended the process; each makes the next one wait longer */
	pg_atomic_uint32 failures;

	/* under worker.lock; name is "" while there is no stream */
	int32 stream_id;
	char name[STREAM_NAME_SIZE];
	char kind[16];
	TimestampTz state_since;
	char detail[WORKER_ERROR_SIZE]; /* what the state waits for, or why it is what it is */
	TimestampTz last_error_at;		/* 0: there was none */
	char guarantee[80];				/* "exactly once", ...; "" until the target is known */

	/* since the server's start */
	pg_atomic_uint64 events_sent; /* acknowledged by the target, backfill included */
	pg_atomic_uint64 bytes_sent;  /* of bodies, as they went over the wire */
	pg_atomic_uint64 batches_sent;
	pg_atomic_uint64 retries; /* requests that were repeated */
	pg_atomic_uint64 doubts;  /* requests of which it was not known whether they had an effect */
	pg_atomic_uint64 dead_letters;
	pg_atomic_uint64 ignored_changes; /* UPDATE, DELETE: not streamed */

	/* at present */
	pg_atomic_uint64 lag_events;	 /* decoded and not yet acknowledged */
	pg_atomic_uint64 lag_bytes;		 /* of WAL, from the position sent to the end */
	pg_atomic_uint64 sent_lsn;		 /* that position: all that was committed before it is sent */
	pg_atomic_uint64 oldest_unsent;	 /* TimestampTz of the commit of the oldest; 0: none */
	pg_atomic_uint64 retained_bytes; /* of WAL held by the slot, and of temporary files */
	pg_atomic_uint64 retained_limit; /* max_retained_wal of the stream, bytes */
	pg_atomic_uint64 last_sent;		 /* TimestampTz; 0: never */
	pg_atomic_uint64 backfill_left;	 /* estimated events of backfills that are to be sent */
} StreamSlot;

extern const SharedPart StreamSlotsPart;

/* The slots, fast_ingest.max_streams of them. NULL where fast_ingest was not preloaded. */
extern StreamSlot *StreamSlots;

/* Which stream a worker serves. */
typedef struct
{
	char name[STREAM_NAME_SIZE];
	char kind[16];
	TimestampTz last_error_at; /* 0: there was none */
} StreamServed;

/* Copy which stream a worker serves. False if it serves none. */
extern bool StreamSlotServed(StreamSlot *slot, StreamServed *served);

/* The name of a state, as fi_streams() shows it. */
extern const char *StreamStateName(StreamState state);

/* Have the worker read its stream's definition again now. */
extern void StreamSlotCommand(StreamSlot *slot);

/*
 * The same when the current transaction commits, and nothing if it aborts. worker is the
 * number of the slot, -1 is all of them. With may_create_slot, not 0, the stream of that id may
 * make its replication slot; with resume somebody has looked at what was wrong.
 */
extern void StreamCommandAtCommit(int worker, int32 may_create_slot, bool resume);

/* Publish a state and why. By the worker. */
extern void StreamSlotSetState(StreamSlot *slot, StreamState state, const char *detail);

/* Publish an error of the stream, or of its target. By the worker. */
extern void StreamSlotSetError(StreamSlot *slot, const char *message);

/* Serve another stream, or none with id 0: counters begin anew. By the worker. */
extern void StreamSlotServe(StreamSlot *slot, int32 id, const char *name, const char *kind);

#endif
