/*
 * docs.h
 *
 * The API's description and the page that shows it, as they are in src/http/docs.
 */
#ifndef FAST_INGEST_DOCS_H
#define FAST_INGEST_DOCS_H

#include "http/reply.h"

/* The answers of GET /openapi.json and GET /docs. */
extern Reply DocsOpenApi(void);
extern Reply DocsPage(void);

#endif
