/*
 * dead_letter.h
 *
 * Events that the database refused.
 */
#ifndef FAST_INGEST_DEAD_LETTER_H
#define FAST_INGEST_DEAD_LETTER_H

#include "utils/elog.h"

#include "shared/shared_state.h"

/* What DeadLetterMakeRoom found and did. */
typedef struct
{
	bool counted;
	uint64 letters; /* if counted: how many there will be with the next one */
	uint64 dropped;
} DeadLetterRoom;

/*
 * Drop the oldest dead letters if with the next one there would be more than
 * fast_ingest.max_dead_letters, in the caller's transaction. Waits for no lock on a row.
 */
extern void DeadLetterMakeRoom(DeadLetterRoom *room);

/*
 * Insert the one event of the relation "staged" (see staged_relation.h) into
 * fast_ingest.dead_letters, with the error that refused it, in the caller's transaction.
 */
extern void DeadLetterInsert(const ErrorData *error);

/* That transaction commits with so many letters: update shared memory. Cannot fail. */
extern void DeadLetterCommitted(Pair *pair, uint64 letters, const DeadLetterRoom *room);

/* Is there room for so many letters without dropping others? */
extern bool DeadLetterHasRoom(uint64 letters);

/* Log how many letters were dropped since the last such line, once a minute at most. */
extern void DeadLetterReportDropped(void);

#endif
