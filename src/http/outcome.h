/*
 * outcome.h
 *
 * What an ingestion request is told about its events.
 */
#ifndef FAST_INGEST_OUTCOME_H
#define FAST_INGEST_OUTCOME_H

#include "lib/stringinfo.h"

#include "http/request.h"
#include "stage/ring.h"

/* Errors beyond these are counted and not shown. */
#define MAX_REPORTED_ERRORS 100

/* Add the n-th entry to the members of "errors", unless it is one too many. */
extern void OutcomeAppendError(StringInfo errors, int n, int index, const char *message);

/* The reply for a bulk request none of whose events are accepted. */
extern Reply OutcomeRejected(int rejected, const char *errors);

/* The reply for a request whose accepted events are safe. */
extern Reply OutcomeAccepted(Request *request);

/*
 * The reply for a request whose records, committed by now, may hold refused
 * ones.
 */
extern Reply OutcomeRefused(Request *request, Ring *ring);

#endif
