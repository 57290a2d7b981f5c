/*
 * batch_commit.c
 *
 * The transaction callback of batches: see batch_commit.h. Nothing in it can fail.
 */
#include "postgres.h"

#include "flush/batch_commit.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/clock.h"

static Pair *my_pair;
static Ring **my_rings;
static BatchCommit prepared;
static bool is_prepared = false;

static void
publish_commit(void)
{
	uint64 events =
		prepared.committed + prepared.duplicate + prepared.discarded + prepared.dead_lettered;

	for (uint64 i = 0; i < prepared.dead_lettered; i++)
		RefusedRecordWrite(&prepared.refused[i]);
	if (prepared.dead_lettered > 0)
		DeadLetterCommitted(my_pair, prepared.dead_lettered, &prepared.room);
	/* the wait for a standby may have been cut short: then this is no acknowledgement */
	if (ProcDiePending)
		pg_atomic_write_u64(&my_pair->in_doubt[prepared.lane], prepared.position);
	CounterAdd(&my_pair->committed, prepared.committed);
	CounterAdd(&my_pair->duplicate, prepared.duplicate);
	CounterAdd(&my_pair->discarded, prepared.discarded);
	CounterAdd(&my_pair->dead_lettered, prepared.dead_lettered);
	pg_atomic_write_u64(&my_pair->last_commit, GetCurrentTransactionStopTimestamp());
	HistogramAdd(&my_pair->batches, EventBounds, events);
	HistogramAdd(&my_pair->commits, DurationBounds, MonotonicNow() - prepared.began);
	RingCommit(my_rings[prepared.lane], prepared.position, events);
	WorkerWake(&my_pair->listener);
}

static void
end_batch_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (event == XACT_EVENT_COMMIT && is_prepared)
		publish_commit();
	is_prepared = false;
}

void
BatchCommitInit(Pair *pair, Ring **rings)
{
	my_pair = pair;
	my_rings = rings;
	RegisterXactCallback(end_batch_transaction, NULL);
}

void
BatchCommitPrepare(const BatchCommit *commit)
{
	prepared = *commit;
	is_prepared = true;
}
