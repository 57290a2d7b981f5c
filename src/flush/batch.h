/*
 * batch.h
 *
 * The events of one flush transaction.
 */
#ifndef FAST_INGEST_BATCH_H
#define FAST_INGEST_BATCH_H

#include "utils/elog.h"

#include "stage/control.h"

/* Prepare this process for batches of a pair; called once. */
extern void BatchInit(Pair *pair, Ring *ring);

/*
 * Take at most max_events staged events, from the first uncommitted one on, and
 * no more bytes and days than fit into a transaction; returns how many.
 */
extern int BatchTake(int max_events);

typedef enum
{
	BATCH_STORED,
	BATCH_NOT_NOW, /* worth another try as it is */
	BATCH_REFUSED  /* because of some event of it */
} BatchResult;

/*
 * Store the batch, or its first part if it needs many partitions that are not
 * there yet, in one transaction, and advance the ring's committed position.
 * Unless it was stored nothing happened, and *error says why.
 */
extern BatchResult BatchStore(ErrorData **error);

/*
 * Make the first event of the batch a dead letter because of that error.
 * NULL on success; else nothing happened.
 */
extern ErrorData *BatchBury(const ErrorData *reason);

#endif
