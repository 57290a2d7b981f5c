/*
 * answers.h
 *
 * The bodies of the answers of a query worker.
 */
#ifndef FAST_INGEST_ANSWERS_H
#define FAST_INGEST_ANSWERS_H

#include "lib/stringinfo.h"

/* Its texts are empty before the answer is computed. */
typedef struct
{
	StringInfoData text;
	bool csv;					/* not JSON */
	StringInfoData next_cursor; /* of the next page, if there is one: CSV has no place for it */
} QueryAnswer;

/*
 * Compute the answer to a request of a route. list holds the request's parameters, name NUL
 * value NUL ..., and is len bytes long. An active snapshot is needed.
 * Errors: 22023 for a parameter that is unknown, missing or not allowed, with a message that
 * names it, its value and what is expected; and the errors of MetricsCompute.
 */
extern void AnswerMetrics(QueryAnswer *answer, const char *list, size_t len);
extern void AnswerSeries(QueryAnswer *answer, const char *list, size_t len);
extern void AnswerOverview(QueryAnswer *answer, const char *list, size_t len);
extern void AnswerEventNames(QueryAnswer *answer, const char *list, size_t len);
extern void AnswerLive(QueryAnswer *answer, const char *list, size_t len);
extern void AnswerStats(QueryAnswer *answer, const char *list, size_t len);

#endif
