/*
 * partition_ranges.h
 *
 * Which times the partitions of fast_ingest.events take. Needs a transaction.
 */
#ifndef FAST_INGEST_PARTITION_RANGES_H
#define FAST_INGEST_PARTITION_RANGES_H

#include "datatype/timestamp.h"
#include "partitioning/partbounds.h"

/*
 * A bound of a table's partitions by time, or one of the ends of time: that before
 * which partition bounds->indexes[bound] ends, and behind which the next one begins.
 */
extern TimestampTz PartitionBoundTime(const PartitionBoundInfoData *bounds, int bound);

/*
 * What the partitions take together, the default partition (which takes what no
 * other does) among them or not: number of ranges, in order, each from
 * lowers[i] (inclusive) to uppers[i] (exclusive), in the current memory context.
 */
extern int PartitionRanges(bool with_default, TimestampTz **lowers, TimestampTz **uppers);

#endif
