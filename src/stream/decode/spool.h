/*
 * spool.h
 *
 * Encoded rows between decoding and posting: first in, first out. Memory first, then a
 * temporary file, which counts towards the stream's disk limit. Appending works inside the
 * callbacks of logical decoding, whose transaction is always aborted.
 */
#ifndef FAST_INGEST_SPOOL_H
#define FAST_INGEST_SPOOL_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "stream/sink/sink.h"

typedef struct Spool Spool;

/* Make an empty one, which lives as long as the process. */
extern Spool *SpoolCreate(void);

/* Forget all rows. */
extern void SpoolReset(Spool *spool);

/* Append a row of a transaction that ends (its commit record does) at end_lsn. */
extern void SpoolAppend(Spool *spool, uint64 lsn, uint64 n, uint64 end_lsn, TimestampTz committed,
						const char *line, uint32 len);

extern int64 SpoolRows(const Spool *spool);
extern int64 SpoolBytes(const Spool *spool);	 /* encoded */
extern int64 SpoolFileBytes(const Spool *spool); /* on disk */

/* The commit time of the oldest row; 0 if the spool is empty. */
extern TimestampTz SpoolOldest(const Spool *spool);

/* Rows taken from the spool, in the memory context that SpoolTake() was called in. */
typedef struct
{
	SinkRow *rows;
	int nrows;
	size_t bytes;
	TimestampTz first_committed;
	/* all transactions that end up to here are in this batch, or in former ones, as a whole */
	uint64 whole_lsn;
} SpoolBatch;

/* Take the oldest rows: at most max_rows, at most max_bytes but at least one. */
extern void SpoolTake(Spool *spool, int max_rows, size_t max_bytes, SpoolBatch *batch);

/* Take them up to and with position (lsn, n): for a batch that was begun before a restart. */
extern void SpoolTakeUpTo(Spool *spool, uint64 lsn, uint64 n, SpoolBatch *batch);

#endif
