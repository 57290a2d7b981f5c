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

/* Take at most max_events staged events, from the first uncommitted one on; returns how many. */
extern int BatchTake(int max_events);

/*
 * Store the batch in one transaction and advance the ring's committed
 * position. NULL on success; else nothing happened, and the error says why.
 */
extern ErrorData *BatchStore(void);

/*
 * Make the first event of the batch a dead letter because of that error.
 * NULL on success; else nothing happened.
 */
extern ErrorData *BatchBury(const ErrorData *reason);

#endif
