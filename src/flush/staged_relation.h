/*
 * staged_relation.h
 *
 * Staged records as a relation named "staged" that SQL can read: an ephemeral named
 * relation, as the transition tables of triggers are. So one INSERT ... SELECT stores
 * them all, and no value is turned into text on the way.
 */
#ifndef FAST_INGEST_STAGED_RELATION_H
#define FAST_INGEST_STAGED_RELATION_H

#include "utils/tuplestore.h"

#include "shared/types/ring.h"

/* Prepare this process; called once. */
extern void StagedRelationInit(void);

/*
 * Show the tuples of n records, whose payloads have so many bytes together, to the
 * statements of this transaction. The caller ends the result by tuplestore_end.
 */
extern Tuplestorestate *StagedRelationShow(RingRecord **records, int n, Size payload);

/*
 * Has fast_ingest.events an event of that day with an event_key of the relation? For
 * tables where ON CONFLICT does not work.
 */
extern bool StagedRelationIsStored(int32 day);

#endif
