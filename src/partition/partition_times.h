/*
 * partition_times.h
 *
 * Which times the partitions of fast_ingest.events take, at any depth: partitions
 * may be partitioned again, by time or by something else. Needs a transaction.
 */
#ifndef FAST_INGEST_PARTITION_TIMES_H
#define FAST_INGEST_PARTITION_TIMES_H

#include "base/time_ranges.h"

/* What a partition takes. */
typedef struct
{
	TimeRangeList *spans; /* in order; a default partition has what the others do not */
	bool alone;			  /* no event outside of it is in an hour of these spans' */
} PartitionTimes;

/*
 * Is a table a partition of fast_ingest.events, or a partition of one, if it is
 * being detached?
 */
extern bool IsEventsPartition(Oid table);

/* What such a partition takes, in the current memory context. */
extern PartitionTimes PartitionTimesOf(Oid partition);

/*
 * What all partitions take together, those among them or not that are being detached,
 * in the current memory context.
 */
extern TimeRangeList *PartitionsCover(bool with_detached);

/*
 * The UTC days of the rows that a table and its partitions hold for the active
 * snapshot, in order and joined, in the current memory context; NULL where that is
 * not for us to know, as of a foreign table. The caller has a lock on the table.
 */
extern TimeRangeList *RowDays(Oid table);

#endif
