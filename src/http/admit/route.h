/*
 * route.h
 *
 * The paths that the listener serves, and what each accepts. No function here raises an
 * error or allocates memory.
 */
#ifndef FAST_INGEST_ROUTE_H
#define FAST_INGEST_ROUTE_H

#include "auth/api_key.h"
#include "http/server/request.h"

typedef struct
{
	const char *method;
	const char *allow; /* for the reply to any other method */
	ApiScope scope;	   /* an API key must have one of it; API_SCOPE_NONE: no key is needed */

	/* of a question: the parameters that limit its answer to websites and to channels */
	const char *site_parameter;
	const char *channel_parameter;
	bool whole;		/* it is about all of them: not for a key that is limited to some */
	bool json_only; /* its body must be named application/json: a form cannot send that */
} Route;

extern const Route Routes[NUM_ROUTES];

/* The route of a path; NUM_ROUTES if there is none. */
extern RouteId RouteFind(const char *path);

/* Does the route take requests with that method? Routes with GET also take HEAD. */
extern bool RouteHasMethod(RouteId route, const char *method);

/*
 * Read the Content-Type of a body: JSON, and if the route takes more NDJSON (sets ndjson) and
 * text/plain, in UTF-8. False for any other.
 */
extern bool RouteReadContentType(RouteId route, const char *value, bool *ndjson);

#endif
