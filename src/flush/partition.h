/*
 * partition.h
 *
 * Day partitions of fast_ingest.events. Days count from 1970-01-01 UTC.
 */
#ifndef FAST_INGEST_PARTITION_H
#define FAST_INGEST_PARTITION_H

/* Is the whole day covered by partitions? Needs a transaction. */
extern bool PartitionExists(int32 day);

/* A day as YYYY-MM-DD, allocated in the current context. */
extern char *PartitionDayText(int32 day);

/*
 * Make the partition of a day unless it is there, in the caller's transaction
 * with SPI connected. Blocks neither inserts nor readers; two callers wait for
 * each other. An ERROR if fast_ingest.events is missing or has another
 * partition in the way.
 */
extern void PartitionCreate(int32 day);

#endif
