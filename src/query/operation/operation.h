/*
 * operation.h
 *
 * What an operator asks of a query worker. See answers.h for what the functions take.
 */
#ifndef FAST_INGEST_OPERATION_H
#define FAST_INGEST_OPERATION_H

#include "query/answers/answers.h"

/* Bytes of the reason of a dead letter that are shown */
#define SHOWN_REASON "500"

/* The reason of a dead letter as it is shown: in another partition it is no other one */
#define SHOWN_REASON_OF_MESSAGE \
	"left(regexp_replace(message, '\"events_[0-9]{8}\"', '\"events\"', 'g'), " SHOWN_REASON ")"

/* GET /status. Takes no parameters. */
extern void AnswerStatus(QueryAnswer *answer, const char *list, size_t len);

/*
 * POST /dead_letters/retry. The transaction must allow writes. Errors: 22023 for a body that is
 * not as expected, and those of fi_retry_dead_letters() and fi_retry_stream_dead_letters().
 */
extern void AnswerRetry(QueryAnswer *answer, const char *body, size_t len);

#endif
