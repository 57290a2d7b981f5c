/*
 * batch_commit.h
 *
 * What the commit of a batch changes in shared memory: the ring's committed position, the
 * counters, and the records that were refused. It is prepared before the commit and done
 * in a transaction callback at the moment of the commit, so that a flusher that dies after
 * it does not store the batch again.
 */
#ifndef FAST_INGEST_BATCH_COMMIT_H
#define FAST_INGEST_BATCH_COMMIT_H

#include "flush/dead_letter.h"
#include "flush/insert_one_by_one.h"
#include "shared/shared_state.h"

typedef struct
{
	int64 began; /* when the transaction did, see clock.h */
	Lane lane;
	uint64 position; /* of the ring, behind the last record that is done */
	uint64 committed;
	uint64 duplicate;
	uint64 discarded; /* by a BEFORE trigger of the user's */
	uint64 dead_lettered;
	DeadLetterRoom room;
	RefusedRecord *refused; /* dead_lettered of them, which live until the transaction ends */
} BatchCommit;

/* Prepare this process, the flusher of a pair with a ring for each lane; called once. */
extern void BatchCommitInit(Pair *pair, Ring **rings);

/* Have these changes done if the transaction in progress commits, and forgotten else. */
extern void BatchCommitPrepare(const BatchCommit *commit);

#endif
