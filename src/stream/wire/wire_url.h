/*
 * wire_url.h
 *
 * The URL of a target: what it may have, and how a request's path and query are joined to it.
 */
#ifndef FAST_INGEST_WIRE_URL_H
#define FAST_INGEST_WIRE_URL_H

#include "lib/stringinfo.h"

/*
 * Check a URL. An ERROR unless it is http or https, with a host, without user, password and
 * fragment. The message shows no URL that may hold a password.
 */
extern void WireUrlCheck(const char *url);

/* The URL with a path and a query appended, palloc'ed; both may be NULL. */
extern char *WireUrlJoin(const char *url, const char *path, const char *query);

/* Append a text as it stands in a query or a path: all but letters, digits and -._~ escaped. */
extern void WireUrlEscape(StringInfo out, const char *text);

#endif
