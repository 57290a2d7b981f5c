/*
 * pages.h
 *
 * The files that the listener serves: GET / (the dashboard), GET /docs and GET /openapi.json. The
 * folder web/ has what they are made of, and web/bundle.pl makes them.
 */
#ifndef FAST_INGEST_PAGES_H
#define FAST_INGEST_PAGES_H

#include "http/server/request.h"

/*
 * Answer a request for one of these files, compressed if the client prefers it. 304 without a
 * body if the client has the file already.
 */
extern void PagesHandle(Request *request);

#endif
