/*
 * key.h
 *
 * GET /key: what may the API key of this request do? A page that asks for a key looks here whether
 * it is valid, and what it can show.
 */
#ifndef FAST_INGEST_KEY_H
#define FAST_INGEST_KEY_H

#include "http/server/request.h"

/*
 * Answer with the scopes, websites and channels of the request's key; null where nothing is
 * limited, which is everything if no key is required.
 */
extern void KeyHandle(Request *request);

#endif
