/*
 * get_metrics.h
 *
 * The routes that ask: GET /metrics and GET /stats. Query workers answer; the
 * listener only carries questions and answers, and never waits for one.
 */
#ifndef FAST_INGEST_GET_METRICS_H
#define FAST_INGEST_GET_METRICS_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Prepare this process to ask; called once. */
extern void GetMetricsInit(Pair *pair);

/* Take a complete request: refuse it, or let it wait for its answer. */
extern void GetMetricsRequest(Request *request);

/* Take in answers and give them to their clients; hand over what waits. */
extern void GetMetricsComplete(void);

/* Milliseconds until the first request has waited too long, or -1. */
extern long GetMetricsNextDeadline(void);

/* Answer all that waits, and all that comes from now on, with 503. */
extern void GetMetricsClose(const char *reason);

#endif
