/*
 * partition_times.h
 *
 * Which times the partitions of fast_ingest.events take, at any depth: partitions
 * may be partitioned again, by time or by something else. Needs a transaction; lists
 * are allocated in the current memory context.
 */
#ifndef FAST_INGEST_PARTITION_TIMES_H
#define FAST_INGEST_PARTITION_TIMES_H

#include "base/time_ranges.h"

/* What a partition takes. */
typedef struct
{
	TimeRangeList *ranges; /* ordered; a default partition takes what the others do not */
	bool alone;			   /* no other partition has events in an hour of these ranges */
} PartitionTimes;

/*
 * Is a table a partition of fast_ingest.events, at any depth? One that is being detached
 * still is. False for an OID of no table.
 */
extern bool IsEventsPartition(Oid table);

/* What such a partition takes. */
extern PartitionTimes PartitionTimesOf(Oid partition);

/*
 * What all partitions take together, with or without those that are being detached. No partition
 * is missing whose rows a snapshot shows that was taken before.
 */
extern TimeRangeList *PartitionsCover(bool with_detached);

/*
 * The UTC days, ordered and joined, of the rows that the active snapshot shows in a table and
 * its partitions; NULL if one of them is a foreign table, whose rows are not looked at. The
 * caller has a lock on the table. An ERROR (22008) for a row with an infinite ts.
 */
extern TimeRangeList *RowDays(Oid table);

#endif
