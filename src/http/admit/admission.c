/*
 * admission.c
 *
 * The order of all checks; see admission.h.
 */
#include "postgres.h"

#include "http/admit/admission.h"

#include <microhttpd.h>

#include "base/settings.h"
#include "http/admit/api_key_check.h"
#include "http/admit/cors.h"
#include "http/admit/rate_limit_check.h"
#include "http/admit/route.h"
#include "http/server/library.h"
#include "http/server/request_identity.h"
#include "http/server/request_target.h"

/*
 * Check the form of a head. Returns what is wrong with it, or NULL. The request is identified
 * in any case, for its reply and the log.
 *
 * The head's bytes are checked first, because reading its fields changes some of them.
 */
static const char *
check_form(Request *request, const char *target, const char *method, const char *version,
		   size_t size)
{
	const char *wrong =
		HeadCheck(LibraryRemains(), method, target, request->target_end, version, size);

	RequestReadFraming(request);
	RequestIdentify(request, method);
	if (wrong == NULL)
		wrong = HeadCheckFraming(&request->framing, version);
	if (wrong == NULL)
		wrong = request->malformed;
	if (wrong == NULL && strcmp(target, "*") == 0 && strcmp(method, "OPTIONS") != 0)
		wrong = "the request's target * is for OPTIONS only";
	return wrong;
}

/*
 * Find the route of a request
 */
static Refusal
check_route(Request *request, const char *path, const char *method)
{
	if (strcmp(path, "*") == 0)
		return REFUSAL_OPTIONS;
	request->route = RouteFind(path);
	if (request->route == NUM_ROUTES)
		return REFUSAL_NOT_FOUND;
	if (CorsIsPreflight(request, method))
		return CorsAllowsOrigin(request) ? REFUSAL_PREFLIGHT : REFUSAL_ORIGIN;
	return RouteHasMethod(request->route, method) ? REFUSAL_NONE : REFUSAL_METHOD;
}

/*
 * Check the rate limits and the API key. A client that has no tokens left is not told whether
 * its key is valid, so nobody can guess keys faster than the client's rate limit allows.
 */
static Refusal
check_access(Request *request)
{
	Refusal refusal;

	if (Routes[request->route].scope == API_SCOPE_NONE)
		return REFUSAL_NONE;
	if (!RateLimitCheckClient(request))
		return REFUSAL_RATE_LIMIT;
	refusal = ApiKeyCheck(request);
	if (refusal == REFUSAL_NONE)
		return RateLimitCheckKey(request) ? REFUSAL_NONE : REFUSAL_RATE_LIMIT;
	if (refusal != REFUSAL_KEYS_NOT_LOADED)
		RateLimitChargeClient(request);
	return refusal;
}

/*
 * Check what the head says about the body's type and encoding. An empty value counts as none.
 */
static Refusal
check_content(Request *request)
{
	const char *type = RequestHeader(request, "Content-Type");
	const char *encoding = RequestHeader(request, "Content-Encoding");
	Refusal refusal = REFUSAL_NONE;

	if (type == NULL || type[0] == '\0')
		refusal = Routes[request->route].json_only ? REFUSAL_CONTENT_TYPE : REFUSAL_NONE;
	else if (!RouteReadContentType(request->route, type, &request->ndjson))
		refusal = REFUSAL_CONTENT_TYPE;
	if (encoding != NULL && encoding[0] != '\0' && !ContentEncodingOf(encoding, &request->encoding))
		refusal = REFUSAL_CONTENT_ENCODING;
	return refusal;
}

static Refusal
check_head(Request *request, const char *target, const char *method, const char *version)
{
	size_t size =
		MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
	Refusal refusal = request->refusal; /* that of the request line */

	request->head_only = strcmp(method, "HEAD") == 0;
	request->malformed = check_form(request, target, method, version, size);
	if (request->malformed != NULL)
		return REFUSAL_MALFORMED;
	if (size > MAX_REQUEST_HEAD_SIZE)
		return REFUSAL_HEAD_TOO_LARGE;
	if (refusal == REFUSAL_NONE)
		refusal = check_route(request, TargetPath(target), method);
	if (refusal == REFUSAL_NONE)
		refusal = check_access(request);
	if (refusal == REFUSAL_NONE && strcmp(method, "POST") == 0)
		refusal = check_content(request);
	if (refusal == REFUSAL_NONE && request->framing.length > MAX_BODY_BYTES)
		refusal = REFUSAL_BODY_TOO_LARGE;
	return refusal;
}

bool
AdmissionCheckHead(Request *request, const char *target, const char *method, const char *version)
{
	request->refusal = check_head(request, target, method, version);
	if (request->refusal == REFUSAL_NONE)
		return true;
	if (request->refusal == REFUSAL_MALFORMED)
		return false; /* nobody knows where the body ends */
	return request->framing.length <= 2 * MAX_BODY_BYTES &&
		   RequestHeader(request, "Expect") == NULL;
}

bool
AdmissionCheckComplete(Request *request)
{
	ApiScope scope;

	if (request->refusal != REFUSAL_NONE)
		return false;
	scope = Routes[request->route].scope;
	if (scope == API_SCOPE_NONE)
		return true;
	if (ApiKeyIsOutdated(request))
		request->refusal = check_access(request);
	if (request->refusal == REFUSAL_NONE && scope != API_SCOPE_WRITE)
	{
		RateCharges charges = {0};

		if (!RateLimitTake(request, &charges, 1))
			request->refusal = REFUSAL_RATE_LIMIT;
	}
	return request->refusal == REFUSAL_NONE;
}

void
AdmissionAddHeaders(Request *request, struct MHD_Response *response)
{
	CorsAddHeaders(request, response);
	if (request->refusal == REFUSAL_NO_KEY)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"fast_ingest\"");
	else if (request->refusal == REFUSAL_WRONG_KEY)
		MHD_add_response_header(response, "WWW-Authenticate",
								"Bearer realm=\"fast_ingest\", error=\"invalid_token\"");
	RateLimitAddHeaders(request, response);
}
