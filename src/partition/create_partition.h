/*
 * create_partition.h
 *
 * Day partitions of fast_ingest.events. Days count from 1970-01-01 UTC.
 */
#ifndef FAST_INGEST_CREATE_PARTITION_H
#define FAST_INGEST_CREATE_PARTITION_H

/* A day as YYYY-MM-DD, allocated in the current context. */
extern char *PartitionDayText(int32 day);

/*
 * Make the partition of a day unless it is there, or partitions for those parts of the
 * day that none takes, in the caller's transaction with SPI connected. Blocks neither
 * inserts nor readers, unless there is a default partition, which is locked and read. A
 * second caller waits for the first. An ERROR if fast_ingest.events is missing, if the
 * caller has not the rights of its owner, or if the default partition has rows of that day.
 */
extern void PartitionCreate(int32 day);

/*
 * The same for events that wait to be stored. If the default partition has rows of the
 * day, or is in use for longer than a moment, no partition is made and no ERROR raised:
 * the default partition takes the events, and the log says so.
 */
extern void PartitionEnsure(int32 day);

/*
 * A message about what an administrator may not have meant: the default partition takes
 * the day's events, or a partition that cuts the day takes some of them. In the current
 * memory context; NULL if there is nothing of this kind.
 */
extern char *PartitionOddity(int32 day);

#endif
