/*
 * query.h
 *
 * The routes that ask: GET /metrics and GET /stats. Query workers answer; the
 * listener only carries questions and answers, and never waits for one.
 */
#ifndef FAST_INGEST_HTTP_QUERY_H
#define FAST_INGEST_HTTP_QUERY_H

#include "http/request.h"
#include "stage/control.h"

/* Prepare this process to ask; called once. */
extern void QueryInit(Pair *pair);

/* Take a complete request: refuse it, or let it wait for its answer. */
extern void QueryRequest(Request *request);

/* Take in answers and give them to their clients; hand over what waits. */
extern void QueryComplete(void);

/* Milliseconds until the first request has waited too long, or -1. */
extern long QueryNextDeadline(void);

/* Answer all that waits, and all that comes from now on, with 503. */
extern void QueryClose(const char *reason);

#endif
