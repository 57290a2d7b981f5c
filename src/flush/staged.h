/*
 * staged.h
 *
 * Staged records as a relation that SQL can read.
 */
#ifndef FAST_INGEST_STAGED_H
#define FAST_INGEST_STAGED_H

#include "utils/tuplestore.h"

#include "shared/ring.h"

/* Prepare this process; called once. */
extern void StagedInit(void);

/*
 * Show the tuples of n records, of so many bytes together, to statements of this
 * transaction as the relation "staged". To be ended by tuplestore_end.
 */
extern Tuplestorestate *StagedShow(RingRecord **records, int n, Size payload);

/*
 * Is there an event of that day with the key of one that "staged" shows? For where ON CONFLICT
 * does not work.
 */
extern bool StagedIsStored(int32 day);

#endif
