/*
 * delta_cache.h
 *
 * Deltas that a process has read. A delta never changes, and dashboards ask again and again, so a
 * process keeps the deltas that its last question read, up to fast_ingest.delta_cache_size, and
 * the numbers of their users; but none of the transaction in progress. What the last question did
 * not see is freed. Each question still scans the table, so that its snapshot says which deltas
 * there are.
 *
 *     DeltaCacheBegin(table, state);
 *     for each row of the table that the snapshot shows:
 *         DeltaCacheLoad(slot) or DeltaCacheKeep(slot)
 *     DeltaCacheEnd();
 *
 * Nothing in between may read deltas, too.
 */
#ifndef FAST_INGEST_DELTA_CACHE_H
#define FAST_INGEST_DELTA_CACHE_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "rollup/delta/delta_read.h"
#include "rollup/users/user_numbers.h"

/* A delta in memory, which was checked. One palloc holds all of it. */
typedef struct
{
	DeltaReader reader;
	int nsections;
	DeltaSectionReader *sections;
	uint32 *numbers; /* of its users, or USER_UNKNOWN */
	bool cached;	 /* stays until the next question; otherwise the caller frees it */

	/* what the cache alone uses */
	Size size; /* in memory, if it is cached */
	TimestampTz first;
	TimestampTz last;
	uint64 scan; /* the last one that has seen it */
} LoadedDelta;

/*
 * Begin a scan. Numbers that belong to another state are forgotten; with no state, the numbers
 * have no meaning for the caller.
 */
extern void DeltaCacheBegin(Relation table, const UserNumbersState *state);

/* Load the delta in a slot, or find it. Errors as DeltaRead and DeltaNextSection. */
extern LoadedDelta *DeltaCacheLoad(TupleTableSlot *slot);

/* Keep the delta in a slot if it is there, but do not load it. */
extern void DeltaCacheKeep(TupleTableSlot *slot);

/* End a scan: free what it has not seen. */
extern void DeltaCacheEnd(void);

#endif
