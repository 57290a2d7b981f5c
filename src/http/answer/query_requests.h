/*
 * query_requests.h
 *
 * Requests that a query worker answers (see query/questions.h). The listener passes a client's
 * query on to a worker and the worker's answer back, and never waits for either.
 */
#ifndef FAST_INGEST_QUERY_REQUESTS_H
#define FAST_INGEST_QUERY_REQUESTS_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Prepare the listener of that pair; called once. */
extern void QueryRequestsInit(Pair *pair);

/*
 * Take a complete request and let it wait for its answer. It is answered at once if a
 * parameter is wrong, if the parameters are too long or need too much memory, or if too many
 * requests wait.
 */
extern void QueryRequestsHandle(Request *request);

/*
 * Prepare a request to wait for a worker until fast_ingest.query_timeout is over: its parameters
 * take the place of its body. False if it was answered: with 503 for the reason, unless that is
 * NULL, or since its parameters are wrong.
 */
extern bool QueryRequestAdmit(Request *request, const char *refusal);

/* Collect the workers' answers, reply to their clients, and hand over queries that wait. */
extern void QueryRequestsProcess(void);

/* Milliseconds until QueryRequestsProcess has something to do without being woken, or -1. */
extern long QueryRequestsNextDeadline(void);

/* Answer all requests that wait, and all that come from now on, with 503 and that reason. */
extern void QueryRequestsClose(const char *reason);

#endif
