/*
 * route.c
 *
 * The table of routes.
 */
#include "postgres.h"

#include "http/admit/route.h"

const Route Routes[NUM_ROUTES] = {
	[ROUTE_EVENTS] = {"/events", "POST", "POST", API_SCOPE_WRITE},
	[ROUTE_BULK] = {"/events/bulk", "POST", "POST", API_SCOPE_WRITE},
	[ROUTE_EVENT] = {"/event", "POST", "POST", API_SCOPE_WRITE},
	[ROUTE_HEALTH] = {"/health", "GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_READY] = {"/ready", "GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_METRICS] = {"/metrics", "GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_SERIES] = {"/series", "GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_EVENT_NAMES] = {"/event_names", "GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_LIVE] = {"/live", "GET", "GET, HEAD", API_SCOPE_READ, "site", NULL},
	[ROUTE_STATS] = {"/stats", "GET", "GET, HEAD", API_SCOPE_READ, "site_id", NULL},
	[ROUTE_EXPORT] = {"/export", "GET", "GET, HEAD", API_SCOPE_ADMIN, "site", "channel"},
	[ROUTE_PROMETHEUS] = {"/metrics/prometheus", "GET", "GET, HEAD", API_SCOPE_ADMIN},
	[ROUTE_OPENAPI] = {"/openapi.json", "GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_DOCS] = {"/docs", "GET", "GET, HEAD", API_SCOPE_NONE},
};

RouteId
RouteFind(const char *path)
{
	int route = 0;

	while (route < NUM_ROUTES && strcmp(Routes[route].path, path) != 0)
		route++;
	return route;
}

bool
RouteHasMethod(RouteId route, const char *method)
{
	return strcmp(Routes[route].method, method) == 0 ||
		   (strcmp(method, "HEAD") == 0 && strcmp(Routes[route].method, "GET") == 0);
}

bool
RouteReadContentType(const char *value, bool *ndjson)
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
