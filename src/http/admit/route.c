/*
 * route.c
 *
 * The table of routes.
 */
#include "postgres.h"

#include "http/admit/route.h"

const Route Routes[NUM_ROUTES] = {
	[ROUTE_EVENTS] = {"POST", "POST", API_SCOPE_WRITE},
	[ROUTE_BULK] = {"POST", "POST", API_SCOPE_WRITE},
	[ROUTE_EVENT] = {"POST", "POST", API_SCOPE_WRITE},
	[ROUTE_HEALTH] = {"GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_READY] = {"GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_METRICS] = {"GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_SERIES] = {"GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_OVERVIEW] = {"GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_EVENT_NAMES] = {"GET", "GET, HEAD", API_SCOPE_READ, "site", "channel"},
	[ROUTE_LIVE] = {"GET", "GET, HEAD", API_SCOPE_READ, "site", NULL},
	[ROUTE_STATS] = {"GET", "GET, HEAD", API_SCOPE_READ, "site_id", NULL},
	[ROUTE_STATUS] = {"GET", "GET, HEAD", API_SCOPE_ADMIN, .whole = true},
	[ROUTE_RETRY] = {"POST", "POST", API_SCOPE_ADMIN, .whole = true, .json_only = true},
	[ROUTE_EXPORT] = {"GET", "GET, HEAD", API_SCOPE_ADMIN, "site", "channel"},
	[ROUTE_PROMETHEUS] = {"GET", "GET, HEAD", API_SCOPE_ADMIN},
	[ROUTE_KEY] = {"GET", "GET, HEAD", API_SCOPE_ANY},
	[ROUTE_OPENAPI] = {"GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_DOCS] = {"GET", "GET, HEAD", API_SCOPE_NONE},
	[ROUTE_DASHBOARD] = {"GET", "GET, HEAD", API_SCOPE_NONE},
};

RouteId
RouteFind(const char *path)
{
	int route = 0;

	while (route < NUM_ROUTES && strcmp(RoutePaths[route], path) != 0)
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
RouteReadContentType(RouteId route, const char *value, bool *ndjson)
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
	for (int i = 0; i < (Routes[route].json_only ? 1 : (int) lengthof(accepted)); i++)
	{
		if (len == strlen(accepted[i]) && pg_strncasecmp(value, accepted[i], len) == 0)
		{
			*ndjson = i >= 2;
			return true;
		}
	}
	return false;
}
