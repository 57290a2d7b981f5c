/*
 * refusal.h
 *
 * What a refused request is told.
 */
#ifndef FAST_INGEST_REFUSAL_H
#define FAST_INGEST_REFUSAL_H

#include "http/server/request.h"

/* Why nobody with an API key is let in. */
#define KEYS_NOT_LOADED_MESSAGE "the API keys are not loaded yet"

/*
 * The reply to a request whose refusal is set. Not to be called inside libmicrohttpd.
 */
extern Reply RefusalReply(const Request *request);

#endif
