/*
 * batch.h
 *
 * The events of one flush transaction.
 */
#ifndef FAST_INGEST_BATCH_H
#define FAST_INGEST_BATCH_H

#include "utils/elog.h"

#include "flush/trial_insert.h"
#include "shared/shared_state.h"

/* Prepare this process for batches of a pair with a ring for each lane; called once. */
extern void BatchInit(Pair *pair, Ring **rings);

/*
 * Take the batch: at most max_events staged events of a lane, from the first uncommitted
 * one on, and no more bytes and days than fit into a transaction. tries: how often storing
 * the first of them has failed in a row; more tries may take more time. Returns how many
 * events were taken. The other functions are about this batch.
 */
extern int BatchTake(Lane lane, int max_events, int tries);

typedef enum
{
	BATCH_STORED,
	BATCH_NOT_NOW,		/* an error that may pass */
	BATCH_NO_PARTITION, /* the same: a partition could not be made */
	BATCH_GAVE_WAY,		/* cancelled, as it took long and events of today waited */
	BATCH_REFUSED		/* the database refuses some event of it */
} BatchResult;

/*
 * Store the batch in one transaction, and advance the ring's committed position. If the
 * batch needs many partitions that are missing, only its first part is stored. For any
 * result but BATCH_STORED nothing has happened, and *error says why; it is allocated in the
 * current memory context.
 */
extern BatchResult BatchStore(ErrorData **error);

/*
 * Insert the first events of a refused batch one by one, and make dead letters of those
 * that are refused for the reason, which is a text of ErrorDescribe. False if nothing
 * happened.
 */
extern bool BatchInsertOneByOne(const char *reason);

/*
 * The first event of the batch was refused for that reason: would the table accept
 * another one? See TrialOfOthers.
 */
extern TrialResult BatchTryOthers(const ErrorData *reason, bool same_day);

/*
 * Would the table accept an event of today? Those that it accepted before are tried. See
 * TrialOfToday.
 */
extern bool BatchTodayPasses(const ErrorData *reason);

/* Look again at the day whose partition is odd (see DayOddity). */
extern void BatchLookAtOddDay(void);

/* When the first event of the batch was staged, see clock.h. */
extern int64 BatchStagedAt(void);

/*
 * Make the first event of the batch a dead letter because of that error. NULL on success;
 * else nothing has happened, and the error is returned.
 */
extern ErrorData *BatchBury(const ErrorData *reason);

#endif
