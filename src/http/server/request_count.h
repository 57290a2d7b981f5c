/*
 * request_count.h
 *
 * Counts what the listener has served, for GET /metrics/prometheus. All but the first
 * function may be called inside libmicrohttpd.
 */
#ifndef FAST_INGEST_REQUEST_COUNT_H
#define FAST_INGEST_REQUEST_COUNT_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Prepare the listener of that pair; called once. */
extern void RequestCountInit(Pair *pair);

/* A request has ended; sent: its client was sent all of the reply. */
extern void RequestCountEnded(const Request *request, bool sent);

/* A connection was refused because too many are open. */
extern void RequestCountRefusedConnection(void);

#endif
