/*
 * stream_run.h
 *
 * All that a worker knows of the stream that it serves, and how that becomes durable.
 */
#ifndef FAST_INGEST_STREAM_RUN_H
#define FAST_INGEST_STREAM_RUN_H

#include "postgres.h"

#include "db/transaction.h"
#include "stream/decode/decoder.h"
#include "stream/run/flight.h"
#include "stream/run/post_batch.h"
#include "stream/run/progress.h"

typedef struct
{
	StreamSlot *slot;
	int number; /* of the worker */

	bool serves; /* there is a stream */
	MemoryContext definition;
	Stream stream;
	Progress progress;
	Backfills *backfills;
	uint32 timeline;

	Spool *spool;
	Decoder *decoder; /* NULL: the slot is not held */
	Target target;
	Flight flight;

	bool recovering;	  /* there is an intent of a former process, whose rows are to be read */
	bool halving_allowed; /* somebody has looked: the target is right to refuse all rows */
	bool suspects_target; /* it refused all rows */
	int suspicions;		  /* how often in a row */
	bool accepted_since;  /* it has taken events since the first time */
	bool accepted_lately; /* and since an event was put aside */
	int64 put_aside;	  /* the dead letter of that; 0: none */
	bool dirty;			  /* the progress has changed and is not written */
	int64 dirty_since;	  /* see clock.h */
	int64 write_after;	  /* after a write that failed */
	ProgressExtra extra;  /* to be written with it */
	BackfillChunk chunk;  /* extra.chunk points here */
	SinkRow letter_row;	  /* and extra.letter here */
	StreamDeadLetter letter;
	char letter_reason[SINK_MESSAGE_SIZE];
	XLogRecPtr acked_whole; /* transactions that end up to here are the target's */
	XLogRecPtr confirmed;	/* what the slot was told */
	XLogRecPtr written;		/* where WAL has the progress: a standby may lack it */
	bool unshared;			/* a part is not sent before a standby has its intent */
	bool waits_for_standby; /* and the state says so */
	int64 first_decoded;	/* when the oldest row of the spool was decoded; 0: none */
	bool chunk_next;		/* it is a backfill's turn */
	uint32 letters_seen;	/* the command after which no dead letters were to be sent */

	bool disk_warned;
	int64 disk_checked; /* see clock.h */
} StreamRun;

/* Take up a stream whose slot has just been acquired. */
extern void StreamRunBegin(StreamRun *run);

/*
 * Let go of the slot, or drop it, and forget all that is not durable. What was sent and is not
 * noted stays in doubt.
 */
extern void StreamRunEnd(StreamRun *run, bool drop);

/* Write what has changed in the progress, and confirm it. False: it failed and is published. */
extern bool StreamRunWrite(StreamRun *run);

/* The same with a changed copy, which becomes the progress if it is written. */
extern bool StreamRunWriteAs(StreamRun *run, Progress *changed);

/*
 * Have all standbys that take over the slot (PostgreSQL 17 and later) the progress as it was
 * written? Only then the slot may confirm it, and a batch that it names may be sent.
 */
extern bool StreamRunIsShared(StreamRun *run);

/* Note that the progress has changed: it is written soon. */
extern void StreamRunSetDirty(StreamRun *run);

/* Does a row of WAL that the target has to get wait in this process? */
extern bool StreamRunHasLiveRows(const StreamRun *run);

/* Run a transaction; an ERROR is published, and the target has to wait. */
extern void StreamRunTransaction(StreamRun *run, const char *activity, TransactionBody body,
								 void *arg);

/* Drop the slot, and record that the position is gone. Ingestion goes on. */
extern void StreamRunLose(StreamRun *run, const char *reason);

#endif
