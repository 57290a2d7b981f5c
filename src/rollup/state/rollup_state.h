/*
 * rollup_state.h
 *
 * The row of fast_ingest.rollup_state: up to where hours and days are closed, and how
 * many users have a number. The first refresh that merges something inserts it.
 */
#ifndef FAST_INGEST_ROLLUP_STATE_H
#define FAST_INGEST_ROLLUP_STATE_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

typedef struct
{
	TimestampTz hours_closed; /* hours that begin before it are closed */
	TimestampTz days_closed;
	int64 users;  /* numbers that were given out, also to users erased since: the next number */
	int64 erased; /* users who had a number and were erased */
} RollupState;

/*
 * Read the state that a snapshot shows; false if there is none. Then nothing is closed,
 * and no number was given out.
 */
extern bool RollupStateRead(Snapshot snapshot, RollupState *state);

/* Write the state but erased, which has a row or not. Needs SPI. */
extern void RollupStateWrite(const RollupState *state, bool has_row);

#endif
