/*
 * day_partition.h
 *
 * The partitions that a flusher's batches need.
 */
#ifndef FAST_INGEST_DAY_PARTITION_H
#define FAST_INGEST_DAY_PARTITION_H

#include "flush/give_way.h"

/* Was the day's partition there when last looked? */
extern bool DayIsKnown(int32 day);

/*
 * Make the partition of a day unless it is there, in a transaction of its own (see
 * GiveWayRun). A partition of the user's that is in the way is no error: it may take the
 * events, or some of them. No error's message quotes an event.
 */
extern ErrorData *DayEnsure(int32 day, int patience, bool (*others_wait)(void));

/* Forget what days are known: partitions may have gone. */
extern void DayForgetAll(void);

/*
 * Why the partition of the last day could not be made that has another one in the way: of
 * that day, or of any (ANY_DAY); NULL if there is none.
 */
extern const char *DayBlocked(int32 day);

/* Look whether it can be made now (see GiveWayRun). */
extern void DayTryBlocked(int patience, bool (*others_wait)(void));

#define ANY_DAY (-1)

#endif
