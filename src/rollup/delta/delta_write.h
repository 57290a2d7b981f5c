/*
 * delta_write.h
 *
 * Writing deltas (see delta_format.h).
 */
#ifndef FAST_INGEST_DELTA_WRITE_H
#define FAST_INGEST_DELTA_WRITE_H

#include "utils/relcache.h"
#include "utils/tuplestore.h"

/*
 * Write the deltas of rows of fast_ingest.events, or of a partition of it, that this
 * transaction has inserted. An ERROR if a row has an infinite ts, if a breakdown cannot be
 * evaluated for it, or if a column of the relation has another type than the rollup expects.
 */
extern void DeltaWrite(Relation relation, Tuplestorestate *rows);

#endif
