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
 * GiveWayRun). No error's message quotes an event.
 */
extern ErrorData *DayEnsure(int32 day, int patience, bool (*others_wait)(void));

/* Forget what days are known: partitions may have gone. */
extern void DayForgetAll(void);

/* What is odd about the partition of the last day where something is; NULL if nothing is. */
extern const char *DayOddity(void);

/* Look at that day again (see GiveWayRun). */
extern void DayLookAgain(int patience, bool (*others_wait)(void));

#define ANY_DAY (-1)

#endif
