/*
 * maintenance_steps.h
 *
 * What the maintenance worker does for fi_maintain(), step by step. Each step runs its
 * own transactions and adds a row to the request for what it did or skipped. Nobody
 * waits long behind a step: it waits for a lock of others for a moment, then gives up or
 * tries again later, and holds nothing in between.
 *
 * A step returns NULL, or an error that it cannot go on from.
 *
 * Whose rights: fi_maintain() asks only for the owner of fast_ingest.events. What
 * concerns events is done as that owner, whatever role the worker has, and the log of
 * pg_cron, whose rows belong to whoever schedules jobs, is cleaned as the caller.
 */
#ifndef FAST_INGEST_MAINTENANCE_STEPS_H
#define FAST_INGEST_MAINTENANCE_STEPS_H

#include "db/transaction.h"

/* Make the partitions of today and of fast_ingest.partitions_ahead days more. */
extern ErrorData *CreatePartitionsAhead(void);

/* Drop the partitions of days whose events are all older than fast_ingest.retention. */
extern ErrorData *DropExpiredPartitions(void);

/* Tell the BRIN indexes of yesterday and today what was inserted since. */
extern ErrorData *SummarizeIndexes(void);

/* Delete what pg_cron noted about our jobs more than a day ago, as far as that role may. */
extern ErrorData *CleanCronLog(Oid role);

/*
 * For the steps
 */

/* From here to the end of the transaction, wait for no lock longer than a moment. */
extern void WaitBriefly(void);

/* Why a partition is skipped. */
#define EVENTS_IN_USE "fast_ingest.events is in use"

#endif
