/*
 * retry.h
 *
 * Dead letters that are to be sent again, as fi_retry_stream_dead_letters() marked them
 * (column retry). The worker sends them as batches of their own, with an intent like any
 * other. Which letters a batch has is noted in their column retry_batch, so that the batch is
 * the same after a restart.
 */
#ifndef FAST_INGEST_RETRY_H
#define FAST_INGEST_RETRY_H

#include "postgres.h"

#include "stream/sink/sink.h"
#include "stream/stream.h"

typedef struct
{
	SinkRow *rows;
	int64 *ids; /* of the letter of each row */
	int nrows;
} RetryBatch;

/*
 * Read the letters of the next batch, at most batch_rows rows and batch_bytes bytes but at
 * least one; with begun those of the batch that was begun with that id. Into the memory context
 * given. False if there are none. In a transaction, connected to SPI.
 */
extern bool RetryRead(const Stream *stream, const char *begun, MemoryContext context,
					  RetryBatch *batch);

/*
 * In the transaction that notes a batch, or a part of one that was halved, as begun: note its
 * id. rows and ids are of that part.
 */
extern void RetryNoteBegun(const int64 *ids, int n, const char *batch_id);

/* In the transaction that notes it as done: its letters are deleted. */
extern void RetryNoteDone(const Stream *stream, const char *batch_id);

/* The target refuses the only letter of a batch again: it stays, with the reason. */
extern void RetryNoteRefused(const Stream *stream, const char *batch_id, const char *reason);

#endif
