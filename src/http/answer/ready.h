/*
 * ready.h
 *
 * GET /ready: what would become of a request sent now.
 */
#ifndef FAST_INGEST_READY_H
#define FAST_INGEST_READY_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Answer a request that asks whether this listener's pair is ready. */
extern void ReadyRequest(Request *request, Pair *pair, Ring **rings);

#endif
