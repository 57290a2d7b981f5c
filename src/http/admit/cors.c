/*
 * cors.c
 *
 * Cross-origin resource sharing: fast_ingest.cors_origins are the origins whose
 * pages may. A page of any other origin can still send what a form can send
 * (navigator.sendBeacon); its browser does not let it read the answer.
 */
#include "postgres.h"

#include "http/admit/cors.h"

#include <microhttpd.h>

#include "utils/memutils.h"
#include "utils/varlena.h"

#include "base/settings.h"

/* How long a browser may remember the answer to its question, in seconds: a day. */
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
 * The origin to name in an answer; NULL if the request has none that may
 */
static const char *
allowed_origin(Request *request)
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
CorsIsPreflight(Request *request, const char *method)
{
	if (strcmp(method, "OPTIONS") != 0 || RequestHeader(request, "Origin") == NULL ||
		RequestHeader(request, "Access-Control-Request-Method") == NULL)
		return false;
	request->preflight = true;
	request->refusal = allowed_origin(request) != NULL ? REFUSAL_PREFLIGHT : REFUSAL_ORIGIN;
	return true;
}

void
CorsAddHeaders(Request *request, struct MHD_Response *response)
{
	const char *origin = allowed_origin(request);

	if (origins != NIL)
		MHD_add_response_header(response, "Vary", "Origin");
	if (origin == NULL)
		return;
	MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
	if (!request->preflight)
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
