/*
 * cors.h
 *
 * Cross-origin resource sharing: a browser asks before a page of another origin may send
 * requests and read their replies.
 */
#ifndef FAST_INGEST_CORS_H
#define FAST_INGEST_CORS_H

#include "http/server/request.h"

struct MHD_Response;

/* Read fast_ingest.cors_origins; at start and after each reload. Not inside libmicrohttpd. */
extern void CorsReadSettings(void);

/* Is the request a preflight: does a browser ask whether a page may send another request? */
extern bool CorsIsPreflight(const Request *request, const char *method);

/* Is the request's Origin one of fast_ingest.cors_origins? False without an Origin. */
extern bool CorsAllowsOrigin(const Request *request);

/*
 * Tell the browser which origin may read the reply, and a preflight what may be sent. Called
 * inside libmicrohttpd.
 */
extern void CorsAddHeaders(const Request *request, struct MHD_Response *response);

#endif
