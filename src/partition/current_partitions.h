/*
 * current_partitions.h
 *
 * Keeps what this process knows of the partitions of fast_ingest.events up to date.
 *
 * ATTACH PARTITION takes a lock that stops no reader, so a process may hear of it while it reads
 * the list of partitions. PostgreSQL then keeps the list that it has read, without the new
 * partition, until something else of the table changes. Until then scans miss the partition's
 * rows, its times seem to have no partition, and a second one could be made for them.
 */
#ifndef FAST_INGEST_CURRENT_PARTITIONS_H
#define FAST_INGEST_CURRENT_PARTITIONS_H

/*
 * Read the list again if it may be old. Afterwards no partition is missing, in this process, whose
 * rows a snapshot shows that was taken before. Needs a transaction. Cheap if nothing has changed.
 */
extern void CurrentPartitionsLoad(void);

#endif
