/*
 * pages.h
 *
 * The API's description and the page that shows it, as they are in src/http/answer/pages.
 */
#ifndef FAST_INGEST_PAGES_H
#define FAST_INGEST_PAGES_H

#include "http/server/reply.h"

/* The answers of GET /openapi.json and GET /docs. */
extern Reply DocsOpenApi(void);
extern Reply DocsPage(void);

#endif
