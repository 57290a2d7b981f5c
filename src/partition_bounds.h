/*
 * partition_bounds.h
 *
 * Which times the partitions of fast_ingest.events take. Needs a transaction.
 */
#ifndef FAST_INGEST_PARTITION_BOUNDS_H
#define FAST_INGEST_PARTITION_BOUNDS_H

#include "datatype/timestamp.h"

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
