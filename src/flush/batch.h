/*
 * batch.h
 *
 * The events of one flush transaction.
 */
#ifndef FAST_INGEST_BATCH_H
#define FAST_INGEST_BATCH_H

#include "utils/elog.h"

#include "flush/evidence.h"
#include "shared/shared_state.h"

/* Prepare this process for batches of a pair with a ring for each lane; called once. */
extern void BatchInit(Pair *pair, Ring **rings);

/*
 * Take at most max_events staged events of a lane, from the first uncommitted one on,
 * and no more bytes and days than fit into a transaction; returns how many. They were
 * tried so many times before.
 */
extern int BatchTake(Lane lane, int max_events, int tries);

typedef enum
{
	BATCH_STORED,
	BATCH_NOT_NOW,		/* worth another try as it is */
	BATCH_NO_PARTITION, /* the same: a partition cannot be made */
	BATCH_GAVE_WAY,		/* it took too long while events of today waited */
	BATCH_REFUSED		/* because of some event of it */
} BatchResult;

/*
 * Store the batch, or its first part if it needs many partitions that are not
 * there yet, in one transaction, and advance the ring's committed position.
 * Unless it was stored nothing happened, and *error says why.
 */
extern BatchResult BatchStore(ErrorData **error);

/*
 * Store the first events of the batch that was refused, and make those of them dead letters
 * that are refused for that reason, as ErrorDescribe says it; false if nothing
 * happened.
 */
extern bool BatchSift(const char *reason);

/*
 * Would the table take another event than the first one of the batch, which it does not
 * take for that reason? See evidence.h.
 */
extern Evidence BatchEvidence(const ErrorData *reason, bool same_day);

/* Would it take an event of today? By those that it took before. */
extern bool BatchTodayPasses(const ErrorData *reason);

/* Look again at the day whose partition is odd (see day_partition.h). */
extern void BatchLookAtOddDay(void);

/* When the first event of the batch was staged. */
extern int64 BatchStagedAt(void);

/*
 * Make the first event of the batch a dead letter because of that error.
 * NULL on success; else nothing happened.
 */
extern ErrorData *BatchBury(const ErrorData *reason);

#endif
