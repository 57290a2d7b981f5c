/*
 * dead_letter.h
 *
 * Events that the database refused.
 */
#ifndef FAST_INGEST_DEAD_LETTER_H
#define FAST_INGEST_DEAD_LETTER_H

#include "utils/elog.h"

/*
 * Insert the one event of the relation "staged" (see batch.c) into
 * fast_ingest.dead_letters with the error that refused it; in the caller's
 * transaction.
 */
extern void DeadLetterInsert(const ErrorData *error);

#endif
