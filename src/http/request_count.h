/*
 * request_count.h
 *
 * What the listener has served, for GET /metrics/prometheus. All of this may be called
 * inside libmicrohttpd.
 */
#ifndef FAST_INGEST_REQUEST_COUNT_H
#define FAST_INGEST_REQUEST_COUNT_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* The codes that are counted apart; all others share the place behind them. */
extern const unsigned int CountedStatusCodes[TRAFFIC_CODES - 1];

extern void RequestCountInit(Pair *pair);

/* A request has ended, and its client was sent the answer, or not. */
extern void RequestCountEnded(const Request *request, bool sent);

/* A connection was refused. */
extern void RequestCountRefusedConnection(void);

#endif
