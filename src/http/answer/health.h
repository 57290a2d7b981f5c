/*
 * health.h
 *
 * GET /health: does the listener run, and is all well with the streams?
 */
#ifndef FAST_INGEST_HEALTH_H
#define FAST_INGEST_HEALTH_H

#include "http/server/request.h"

/*
 * Answer 200: "ok", or "degraded" with the streams that need a person. Streams hold up no events,
 * so they are no reason to send requests elsewhere, and GET /ready does not look at them.
 */
extern void HealthHandle(Request *request);

#endif
