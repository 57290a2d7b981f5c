/*
 * lost_rows.h
 *
 * Times whose events have gone with their partition while the rollup keeps what it
 * counted: rows of fast_ingest.lost_rows, written in the transaction that drops or detaches
 * the partition. These times cannot be counted again, whichever partition may take later
 * events of them.
 */
#ifndef FAST_INGEST_LOST_ROWS_H
#define FAST_INGEST_LOST_ROWS_H

#include "utils/snapshot.h"

#include "base/time_ranges.h"
#include "partition/partition_times.h"

/* The times that a snapshot shows, ordered and joined. */
extern TimeRangeList *LostRowsRanges(Snapshot snapshot);

/*
 * Note the days on which the rollup has counted events of a partition, as far as the
 * partition took them (times). Runs as the owner of the rollup, as whoever drops a partition
 * needs no rights there. Does nothing where the tables of the rollup are gone already, as in
 * the midst of DROP EXTENSION.
 */
extern void LostRowsNote(Oid partition, const PartitionTimes *times);

/*
 * Remove what was noted of a partition within some times (ordered): it is attached again and
 * takes them. Returns the times that were noted and are no longer. Needs an active snapshot.
 */
extern TimeRangeList *LostRowsForget(Oid partition, const TimeRangeList *times);

#endif
