/*
 * api_key_check.h
 *
 * Who may do what: the API key of a request, and what it is restricted to. While
 * fast_ingest.require_api_key is off, nothing here looks at keys.
 */
#ifndef FAST_INGEST_API_KEY_CHECK_H
#define FAST_INGEST_API_KEY_CHECK_H

#include "auth/api_key.h"
#include "event/event.h"
#include "http/server/request.h"

/*
 * Look up the key of a request whose route is known, and check that it allows the request.
 * Sets request->access. May be called inside libmicrohttpd.
 */
extern Refusal ApiKeyCheck(Request *request);

/* Must the request's key be checked again, because the keys or the settings have changed? */
extern bool ApiKeyIsOutdated(const Request *request);

/*
 * Does the key allow this event? False with a message that names the field. key is NULL if none
 * is required; then every event is allowed.
 */
extern bool ApiKeyCheckEvent(const ApiKey *key, const Event *event, char error[EVENT_ERROR_SIZE]);

/* Are the keys loaded, or not required? */
extern bool ApiKeysAreReady(void);

#endif
