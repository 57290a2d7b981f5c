/*
 * route.c
 *
 * Reads the heads of requests.
 */
#include "postgres.h"

#include "http/admit/route.h"

#include <microhttpd.h>

#include "http/admit/cors.h"
#include "http/server/server.h"
#include "http/server/request_target.h"
#include "base/settings.h"

const Route Routes[NUM_ROUTES] = {
	[ROUTE_EVENTS] = {"/events", "POST", "POST"},
	[ROUTE_BULK] = {"/events/bulk", "POST", "POST"},
	[ROUTE_EVENT] = {"/event", "POST", "POST"},
	[ROUTE_HEALTH] = {"/health", "GET", "GET, HEAD"},
	[ROUTE_READY] = {"/ready", "GET", "GET, HEAD"},
	[ROUTE_METRICS] = {"/metrics", "GET", "GET, HEAD"},
	[ROUTE_STATS] = {"/stats", "GET", "GET, HEAD"},
	[ROUTE_PROMETHEUS] = {"/metrics/prometheus", "GET", "GET, HEAD"},
	[ROUTE_OPENAPI] = {"/openapi.json", "GET", "GET, HEAD"},
	[ROUTE_DOCS] = {"/docs", "GET", "GET, HEAD"},
};

/*
 * Read a Content-Type: JSON, NDJSON or text/plain, in UTF-8
 */
static bool
read_content_type(const char *value, bool *ndjson)
{
	static const char *const accepted[] = {"application/json", "text/plain", "application/x-ndjson",
										   "application/ndjson"};
	size_t len = strcspn(value, "; \t");
	const char *charset = strcasestr(value + len, "charset=");

	if (charset != NULL)
	{
		charset += strlen("charset=");
		charset += *charset == '"';
		if (pg_strncasecmp(charset, "utf-8", 5) != 0 && pg_strncasecmp(charset, "utf8", 4) != 0)
			return false;
	}
	for (int i = 0; i < (int) lengthof(accepted); i++)
	{
		if (len == strlen(accepted[i]) && pg_strncasecmp(value, accepted[i], len) == 0)
		{
			*ndjson = i >= 2;
			return true;
		}
	}
	return false;
}

/*
 * Read the head of a request but for where it goes. Returns what is wrong with it, or NULL.
 * Its bytes are checked first: reading its fields overwrites some.
 */
static const char *
read_head(Request *request, const char *target, const char *method, const char *version,
		  size_t size)
{
	const char *wrong =
		HeadCheck(ServerRemains(), method, target, request->target_end, version, size);

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
 * Find the route of a request, or why it is refused
 */
static void
find_route(Request *request, const char *path, const char *method)
{
	if (strcmp(path, "*") == 0)
	{
		request->refusal = REFUSAL_OPTIONS;
		return;
	}
	for (int i = 0; i < NUM_ROUTES; i++)
	{
		if (strcmp(Routes[i].path, path) != 0)
			continue;
		request->route = i;
		if (CorsIsPreflight(request, method))
			return;
		if (strcmp(Routes[i].method, method) != 0 &&
			!(strcmp(method, "HEAD") == 0 && strcmp(Routes[i].method, "GET") == 0))
			request->refusal = REFUSAL_METHOD;
		return;
	}
	request->refusal = REFUSAL_NOT_FOUND;
}

void
RouteRequest(Request *request, const char *target, const char *method, const char *version)
{
	size_t size =
		MHD_get_connection_info(request->connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
			->header_size;
	const char *value;

	request->head_only = strcmp(method, "HEAD") == 0;
	request->malformed = read_head(request, target, method, version, size);
	if (request->malformed != NULL)
	{
		request->refusal = REFUSAL_MALFORMED;
		return;
	}
	if (size > MAX_REQUEST_HEAD_SIZE)
	{
		request->refusal = REFUSAL_HEAD_TOO_LARGE;
		return;
	}
	if (request->refusal == REFUSAL_NONE)
		find_route(request, TargetPath(target), method);
	if (request->refusal != REFUSAL_NONE || !AccessCheckHead(request) ||
		strcmp(method, "POST") != 0)
		return;

	/* an empty value is none */
	value = RequestHeader(request, "Content-Type");
	if (value != NULL && value[0] != '\0' && !read_content_type(value, &request->ndjson))
		request->refusal = REFUSAL_CONTENT_TYPE;
	value = RequestHeader(request, "Content-Encoding");
	if (value != NULL && value[0] != '\0' && !ContentEncodingOf(value, &request->encoding))
		request->refusal = REFUSAL_CONTENT_ENCODING;
}

bool
RouteSkipsBody(Request *request)
{
	uint64 announced = request->framing.length;

	if (announced > MAX_BODY_BYTES && request->refusal == REFUSAL_NONE)
		request->refusal = REFUSAL_BODY_TOO_LARGE;
	if (request->refusal == REFUSAL_NONE)
		return false;
	if (request->refusal == REFUSAL_MALFORMED)
		return true; /* nobody knows where it ends */
	return announced > 2 * MAX_BODY_BYTES || RequestHeader(request, "Expect") != NULL;
}
