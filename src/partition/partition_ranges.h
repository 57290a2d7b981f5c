/*
 * partition_ranges.h
 *
 * Which times the partitions of fast_ingest.events take, by their bounds. Partitions of
 * partitions are not looked at. Needs a transaction.
 */
#ifndef FAST_INGEST_PARTITION_RANGES_H
#define FAST_INGEST_PARTITION_RANGES_H

#include "datatype/timestamp.h"
#include "partitioning/partbounds.h"

#include "base/time_ranges.h"
#include "base/unix_time.h"

/*
 * A bound of a table that is partitioned by time: the upper bound of partition
 * bounds->indexes[bound], and the lower one of the next. An end of time if bound is -1 or
 * bounds->ndatums, or is infinite.
 */
extern TimestampTz PartitionBoundTime(const PartitionBoundInfoData *bounds, int bound);

/*
 * The times that the partitions take: ranges in order, each from lowers[i] (inclusive) to
 * uppers[i] (exclusive), in the current memory context. If a default partition is there
 * and is to be counted, that is one range of all times. Returns how many ranges.
 */
extern int PartitionRanges(bool with_default, TimestampTz **lowers, TimestampTz **uppers);

/* When a UTC day begins. Days count from 1970-01-01. */
static inline TimestampTz
DayStart(int32 day)
{
	return day * USECS_PER_DAY - UNIX_EPOCH_OFFSET;
}

/* The UTC day of a time; negative before 1970-01-01. */
static inline int32
DayOf(TimestampTz time)
{
	return (int32) ((BucketStart(time, LEVEL_DAY) + UNIX_EPOCH_OFFSET) / USECS_PER_DAY);
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
