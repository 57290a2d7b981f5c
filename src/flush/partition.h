/*
 * partition.h
 *
 * Day partitions of fast_ingest.events. Days count from 1970-01-01 UTC.
 */
#ifndef FAST_INGEST_PARTITION_H
#define FAST_INGEST_PARTITION_H

#include "datatype/timestamp.h"

/* Is the whole day covered by partitions? Needs a transaction. */
extern bool PartitionExists(int32 day);

/*
 * Make the partition of a day unless it is there, in the caller's transaction
 * with SPI connected. Blocks neither inserts nor readers; two callers wait for
 * each other. An ERROR if fast_ingest.events is missing or has another
 * partition in the way.
 */
extern void PartitionCreate(int32 day);

/*
 * What a partition takes: from lower (inclusive) to upper (exclusive). The ends of
 * time for a default partition, or one that is not fast_ingest.events's own.
 */
extern void PartitionBounds(Oid partition, TimestampTz *lower, TimestampTz *upper);

/*
 * What the partitions take together, the default partition (which takes what no
 * other does) among them or not: number of ranges, in order, each from
 * lowers[i] (inclusive) to uppers[i] (exclusive), in the current memory context.
 */
extern int PartitionRanges(bool with_default, TimestampTz **lowers, TimestampTz **uppers);

#endif
