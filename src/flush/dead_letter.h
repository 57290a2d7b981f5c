/*
 * dead_letter.h
 *
 * Events that the database refused.
 */
#ifndef FAST_INGEST_DEAD_LETTER_H
#define FAST_INGEST_DEAD_LETTER_H

#include "utils/elog.h"

#include "shared/shared_state.h"

/* What making room found and did. */
typedef struct
{
	bool counted;
	uint64 letters; /* if counted: how many there are with the one to come */
	uint64 dropped;
} DeadLetterRoom;

/*
 * Drop the oldest dead letters if the next one would be more than
 * fast_ingest.max_dead_letters, in the caller's transaction; waits for nobody.
 */
extern void DeadLetterMakeRoom(DeadLetterRoom *room);

/*
 * Insert the one event of the relation "staged" (see batch.c) into
 * fast_ingest.dead_letters with the error that refused it; in the caller's
 * transaction.
 */
extern void DeadLetterInsert(const ErrorData *error);

/* That transaction commits, with so many letters: write it down in shared memory. Cannot fail. */
extern void DeadLetterCommitted(Pair *pair, uint64 letters, const DeadLetterRoom *room);

/* Is there room for so many letters without dropping any? */
extern bool DeadLetterHasRoom(uint64 letters);

/* Log what was dropped since this was last logged, once a minute at most. */
extern void DeadLetterReportDropped(void);

#endif
