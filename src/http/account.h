/*
 * account.h
 *
 * What the listener has served, for GET /metrics/prometheus. All of this may be called
 * inside libmicrohttpd.
 */
#ifndef FAST_INGEST_ACCOUNT_H
#define FAST_INGEST_ACCOUNT_H

#include "http/request.h"
#include "stage/control.h"

/* The codes that are counted apart; all others share the place behind them. */
extern const unsigned int AccountedCodes[TRAFFIC_CODES - 1];

extern void AccountInit(Pair *pair);

/* A request has ended, and its client was sent the answer, or not. */
extern void AccountRequest(const Request *request, bool sent);

/* A connection was refused. */
extern void AccountRefusedConnection(void);

#endif
