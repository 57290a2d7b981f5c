/*
 * questions.h
 *
 * What can be asked of a query worker.
 */
#ifndef FAST_INGEST_QUESTIONS_H
#define FAST_INGEST_QUESTIONS_H

#include "query/answers/answers.h"
#include "shared/query_slot.h"

typedef struct
{
	const char *name; /* for the log and for pg_stat_activity */
	/* see answers.h; a question that writes gets the body of the request in place of parameters */
	void (*answer)(QueryAnswer *answer, const char *list, size_t len);
	bool writes; /* its transaction is not read-only */
} Question;

extern const Question Questions[NUM_QUERY_KINDS];

#endif
