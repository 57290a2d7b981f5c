/*
 * cors.h
 *
 * What browsers want to know before a page of another origin may send requests, and
 * read answers. Called inside libmicrohttpd.
 */
#ifndef FAST_INGEST_CORS_H
#define FAST_INGEST_CORS_H

#include "http/server/request.h"

struct MHD_Response;

/* Read fast_ingest.cors_origins again. Not to be called inside libmicrohttpd. */
extern void CorsReadSettings(void);

/* Does a browser ask whether a page may send a request? Refuses it if the page may not. */
extern bool CorsIsPreflight(Request *request, const char *method);

/* Say in an answer who may read it. */
extern void CorsAddHeaders(Request *request, struct MHD_Response *response);

#endif
