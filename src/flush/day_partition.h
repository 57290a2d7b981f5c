/*
 * day_partition.h
 *
 * The partitions that a flusher's batches need. Days count from 1970-01-01 UTC.
 */
#ifndef FAST_INGEST_DAY_PARTITION_H
#define FAST_INGEST_DAY_PARTITION_H

#include "flush/cancel_when_blocking.h"

/* Was the day's partition there when this process last looked? */
extern bool DayIsKnown(int32 day);

/*
 * Make the partition of a day unless it is there, by RunUnlessBlocking. Returns NULL, or an
 * error of SQLSTATE 55000 whose message quotes no event.
 */
extern ErrorData *DayEnsure(int32 day, int patience, OthersWaitCheck others_wait);

/* Forget which days are known: partitions may have been dropped. */
extern void DayForgetAll(void);

/* What is odd about the partition that was last found odd (see PartitionOddity), or NULL. */
extern const char *DayOddity(void);

/* Look at that day again, by RunUnlessBlocking. */
extern void DayLookAgain(int patience, OthersWaitCheck others_wait);

/* In place of a day. */
#define ANY_DAY (-1)

#endif
