/*
 * cors.c
 *
 * Pages of the origins in fast_ingest.cors_origins may send requests and read replies. A
 * page of any other origin can still send what a form can send (navigator.sendBeacon),
 * but its browser does not let it read the reply.
 */
#include "postgres.h"

#include "http/admit/cors.h"

#include <microhttpd.h>

#include "utils/memutils.h"
#include "utils/varlena.h"

#include "base/settings.h"
#include "http/admit/route.h"

/* How long a browser may remember the reply to a preflight, in seconds: a day. */
#define MAX_AGE "86400"

static MemoryContext context = NULL;
static List *origins = NIL;

void
CorsReadSettings(void)
{
	MemoryContext caller;

	if (context == NULL)
		context =
			AllocSetContextCreate(TopMemoryContext, "fast_ingest origins", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	caller = MemoryContextSwitchTo(context);
	origins = NIL;
	(void) SplitGUCList(pstrdup(fi_cors_origins), ',', &origins);
	MemoryContextSwitchTo(caller);
}

/*
 * The origin to name in a reply; NULL if the request's origin is not allowed
 */
static const char *
find_allowed_origin(const Request *request)
{
	const char *origin = RequestHeader(request, "Origin");
	ListCell *cell;

	if (origin == NULL)
		return NULL;
	foreach (cell, origins)
	{
		const char *allowed = lfirst(cell);

		if (strcmp(allowed, "*") == 0)
			return "*";
		if (pg_strcasecmp(allowed, origin) == 0)
			return origin;
	}
	return NULL;
}

bool
CorsIsPreflight(const Request *request, const char *method)
{
	return strcmp(method, "OPTIONS") == 0 && RequestHeader(request, "Origin") != NULL &&
		   RequestHeader(request, "Access-Control-Request-Method") != NULL;
}

bool
CorsAllowsOrigin(const Request *request)
{
	return find_allowed_origin(request) != NULL;
}

void
CorsAddHeaders(const Request *request, struct MHD_Response *response)
{
	const char *origin = find_allowed_origin(request);

	if (origins != NIL)
		MHD_add_response_header(response, "Vary", "Origin");
	if (origin == NULL)
		return;
	MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
	if (request->refusal != REFUSAL_PREFLIGHT)
	{
		MHD_add_response_header(response, "Access-Control-Expose-Headers",
								"Retry-After, Next-Cursor, RateLimit-Limit, RateLimit-Remaining, "
								"RateLimit-Reset, WWW-Authenticate, X-Request-Id");
		return;
	}
	MHD_add_response_header(response, "Access-Control-Allow-Methods", Routes[request->route].allow);
	MHD_add_response_header(response, "Access-Control-Allow-Headers",
							"Content-Type, Content-Encoding, Idempotency-Key, Authorization, "
							"X-API-Key, X-Request-Id");
	MHD_add_response_header(response, "Access-Control-Max-Age", MAX_AGE);
}
