/*
 * pages.h
 *
 * The API's description and the page that shows it: the files of src/http/answer/pages.
 */
#ifndef FAST_INGEST_PAGES_H
#define FAST_INGEST_PAGES_H

#include "http/server/reply.h"

/* The replies to GET /openapi.json and GET /docs. */
extern Reply PageOpenApi(void);
extern Reply PageDocs(void);

#endif
