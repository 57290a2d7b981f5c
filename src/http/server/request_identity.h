/*
 * request_identity.h
 *
 * The names of a request: its id, its method, and the address of its client. All but
 * the first two functions may be called inside libmicrohttpd.
 */
#ifndef FAST_INGEST_REQUEST_IDENTITY_H
#define FAST_INGEST_REQUEST_IDENTITY_H

#include "http/server/request.h"

/* Prepare this process; called once. Reads the settings, too. */
extern void RequestIdentityInit(void);

/* Read fast_ingest.trusted_proxies; called after each reload. Entries that are no address range
 * are ignored. */
extern void RequestIdentityReadSettings(void);

/*
 * Called when the head is complete: set the request's id, method and client address. The id
 * is that of the header X-Request-Id, or a new one if the header is missing or not fit for a
 * log. The address is that of the connection, or the one that a trusted proxy forwards for.
 * method is "" if it is not known.
 */
extern void RequestIdentify(Request *request, const char *method);

/*
 * The id of a request. If its head never became complete, this makes an id and sets the
 * client's address to that of the connection.
 */
extern const char *RequestId(Request *request);

#endif
