/*
 * route.h
 *
 * What a request's head says: where it goes, how its body comes, or why it is
 * refused. Called inside libmicrohttpd.
 */
#ifndef FAST_INGEST_ROUTE_H
#define FAST_INGEST_ROUTE_H

#include "http/server/request.h"

/* Read the head of a request: sets its route, or its refusal. */
extern void RouteRequest(Request *request, const char *target, const char *method,
						 const char *version);

/*
 * Is there no point in reading the body? A small one of a refused request is
 * read and thrown away, so that the client hears the answer and the connection
 * stays usable.
 */
extern bool RouteSkipsBody(Request *request);

#endif
