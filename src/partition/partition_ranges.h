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

/* When a UTC day begins. Days count from 1970-01-01. */
static inline TimestampTz
DayStart(int32 day)
{
	return ((int64) day - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * USECS_PER_DAY;
}

/* A partition that takes one whole UTC day. */
typedef struct
{
	Oid partition;
	int32 day;
} DayPartition;

/*
 * The tables, partitioned themselves or not, that take one of the days from first to
 * last, in order, in the current memory context; returns how many. Partitions of other
 * bounds, a default partition, foreign tables and what is being detached are left out.
 */
extern int DayPartitions(int32 first, int32 last, DayPartition **partitions);

#endif
