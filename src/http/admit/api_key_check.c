/*
 * api_key_check.c
 *
 * API keys of requests. Nothing that libmicrohttpd calls raises an error or
 * allocates memory.
 *
 * While fast_ingest.require_api_key is off, keys are not looked at. A message about a
 * key never has anything of it.
 */
#include "postgres.h"

#include "http/admit/api_key_check.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "event/validate.h"
#include "http/server/request.h"
#include "base/settings.h"

#define NOT_LOADED_MESSAGE "the API keys are not loaded yet"

void
AccessInit(void)
{
	KeyImageAttach();
	LimitReadSettings();
}

/*
 * The scope that a route needs; one that is not known here needs the highest
 */
static ApiScope
scope_of(RouteId route)
{
	switch (route)
	{
		case ROUTE_HEALTH:
		case ROUTE_READY:
		case ROUTE_OPENAPI:
		case ROUTE_DOCS:
			return API_SCOPE_NONE;
		case ROUTE_EVENTS:
		case ROUTE_BULK:
		case ROUTE_EVENT:
			return API_SCOPE_WRITE;
		case ROUTE_METRICS:
		case ROUTE_STATS:
			return API_SCOPE_READ;
		default:
			return API_SCOPE_ADMIN;
	}
}

/*
 * The key that a request carries, or NULL. One in the query is for browsers that
 * cannot send headers (sendBeacon), and for events only: queries end up in the logs
 * of proxies.
 */
static const char *
presented_key(Request *request)
{
	static const char bearer[] = "Bearer"; /* alone, it is a key that is empty */
	const char *value = RequestHeader(request, "Authorization");

	if (value != NULL && pg_strncasecmp(value, bearer, strlen(bearer)) == 0 &&
		(value[strlen(bearer)] == '\0' || value[strlen(bearer)] == ' '))
		return value + strlen(bearer) + strspn(value + strlen(bearer), " ");
	value = RequestHeader(request, "X-API-Key");
	if (value == NULL && request->access.scope == API_SCOPE_WRITE)
		value = RequestParameter(request, "key");
	return value;
}

/*
 * Is a question within what a restricted key may know? It must name the website or
 * the channel, and an answer that cannot be restricted is not for it.
 */
static const char *
wrong_parameter(Request *request, const ApiKey *key)
{
	const char *channel =
		request->route == ROUTE_METRICS ? RequestParameter(request, "channel") : NULL;
	const char *site_id =
		request->route == ROUTE_STATS ? RequestParameter(request, "site_id") : NULL;

	if (key->channels.n >= 0 &&
		(channel == NULL || !KeyAllows(&key->channels, channel, strlen(channel))))
		return "channel";
	if (key->site_ids.n >= 0 &&
		(site_id == NULL || !KeyAllows(&key->site_ids, site_id, strlen(site_id))))
		return "site_id";
	return NULL;
}

static AccessVerdict
judge(Request *request)
{
	Access *access = &request->access;
	const char *text;
	const char *origin;
	bool loaded;

	access->key = NULL;
	access->generation = KeyImageRefresh(&loaded);
	if (!fi_require_api_key)
		return ACCESS_ALLOWED;
	if (!loaded)
		return ACCESS_NOT_LOADED;
	text = presented_key(request);
	if (text == NULL)
		return ACCESS_NO_KEY;
	access->key = ApiKeyFind(text);
	if (access->key == NULL)
		return ACCESS_WRONG_KEY;
	access->key_id = access->key->id;
	if ((access->key->scopes & access->scope) == 0)
		return ACCESS_WRONG_SCOPE;
	origin = RequestHeader(request, "Origin");
	if (access->key->origins.n >= 0 &&
		(origin == NULL || !KeyAllows(&access->key->origins, origin, strlen(origin))))
		return ACCESS_WRONG_ORIGIN;
	if (access->scope == API_SCOPE_READ &&
		(access->parameter = wrong_parameter(request, access->key)) != NULL)
		return ACCESS_WRONG_PARAMETER;
	return ACCESS_ALLOWED;
}

static bool
settle(Request *request, AccessVerdict verdict)
{
	request->access.verdict = verdict;
	if (verdict != ACCESS_ALLOWED)
		request->refusal = REFUSAL_ACCESS;
	return verdict == ACCESS_ALLOWED;
}

/*
 * Who has no tokens left is not told whether a key is right: keys cannot be guessed any
 * faster than that.
 */
bool
AccessCheckHead(Request *request)
{
	AccessVerdict verdict;

	request->access.scope = scope_of(request->route);
	if (request->access.scope == API_SCOPE_NONE)
		return settle(request, ACCESS_ALLOWED);
	if (!LimitCheckClient(request))
		return settle(request, ACCESS_LIMITED);
	verdict = judge(request);
	if (verdict == ACCESS_ALLOWED && !LimitCheckKey(request, request->access.key))
		verdict = ACCESS_LIMITED;
	else if (verdict != ACCESS_ALLOWED && verdict != ACCESS_NOT_LOADED)
		LimitChargeClient(request);
	return settle(request, verdict);
}

bool
AccessCheckAgain(Request *request)
{
	Access *access = &request->access;
	bool loaded;

	if (access->scope == API_SCOPE_NONE)
		return true;
	if ((access->generation != KeyImageRefresh(&loaded) ||
		 (access->key == NULL && fi_require_api_key)) &&
		!AccessCheckHead(request))
		return false;
	if (access->scope == API_SCOPE_WRITE)
		return true;
	LimitBeginEvents(NULL);
	return settle(request, LimitTake(request, access->key, 1) ? ACCESS_ALLOWED : ACCESS_LIMITED);
}

Reply
AccessRefusal(Request *request)
{
	Access *access = &request->access;
	Reply reply;

	switch (access->verdict)
	{
		case ACCESS_NO_KEY:
			reply = ReplyError(MHD_HTTP_UNAUTHORIZED,
							   "an API key is needed: expected the header \"Authorization: Bearer "
							   "...\" or \"X-API-Key: ...\"%s",
							   access->scope == API_SCOPE_WRITE ? ", or the parameter key" : "");
			break;
		case ACCESS_WRONG_KEY:
			reply = ReplyError(MHD_HTTP_UNAUTHORIZED, "the API key is not valid");
			break;
		case ACCESS_WRONG_SCOPE:
			reply = ReplyError(MHD_HTTP_FORBIDDEN, "the API key has not the scope \"%s\"",
							   ApiScopeName(access->scope));
			break;
		case ACCESS_WRONG_ORIGIN:
			reply = ReplyError(MHD_HTTP_FORBIDDEN, "the API key is not for this Origin");
			break;
		case ACCESS_WRONG_PARAMETER:
			reply = ReplyError(MHD_HTTP_FORBIDDEN,
							   "the API key is for some values of %s only: expected a question "
							   "about one of them",
							   access->parameter);
			break;
		case ACCESS_LIMITED:
			reply = LimitRefusal(request);
			break;
		default:
			reply = ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, NOT_LOADED_MESSAGE);
			break;
	}
	return reply;
}

void
AccessAddHeaders(Request *request, struct MHD_Response *response)
{
	Access *access = &request->access;

	if (access->verdict == ACCESS_NO_KEY)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"fast_ingest\"");
	else if (access->verdict == ACCESS_WRONG_KEY)
		MHD_add_response_header(response, "WWW-Authenticate",
								"Bearer realm=\"fast_ingest\", error=\"invalid_token\"");
	LimitAddHeaders(request, response);
}

static bool
check_field(const KeyList *list, const char *name, const Slice *value, char error[EVENT_ERROR_SIZE])
{
	if (list->n < 0 || (value->data != NULL && KeyAllows(list, value->data, value->len)))
		return true;
	if (value->data == NULL)
		snprintf(error, EVENT_ERROR_SIZE,
				 "%s is missing: the API key is for some values of it only", name);
	else
		snprintf(error, EVENT_ERROR_SIZE, "%s %s is not allowed for the API key", name,
				 QuoteValue(value->data, value->len));
	return false;
}

bool
AccessCheckEvent(const ApiKey *key, const Event *event, char error[EVENT_ERROR_SIZE])
{
	return key == NULL || (check_field(&key->channels, "channel", &event->channel, error) &&
						   check_field(&key->site_ids, "site_id", &event->site_id, error));
}

const char *
AccessNotReady(void)
{
	bool loaded;

	(void) KeyImageRefresh(&loaded);
	return fi_require_api_key && !loaded ? NOT_LOADED_MESSAGE : NULL;
}

/*
 * Does only this machine reach the address that a socket is bound to?
 */
static bool
is_loopback(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		return false;
	if (address.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *) &address)->sin_addr.s_addr) >> 24 == 127;
	return address.ss_family == AF_INET6 &&
		   IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *) &address)->sin6_addr);
}

void
AccessWarn(const ListenSockets *sockets, bool tls)
{
	bool local = true;

	for (int i = 0; i < sockets->n; i++)
		local &= is_loopback(sockets->fds[i]);
	if (local || (tls && fi_require_api_key))
		return;
	if (!fi_require_api_key)
		ereport(WARNING,
				(errmsg("fast_ingest can be reached from elsewhere, and needs no API keys"),
				 errdetail("Whoever reaches port %d can store events and read metrics%s.",
						   tls ? fi_ssl_port : fi_port,
						   tls ? "" : ", and whoever listens on the way can read both"),
				 errhint("Set fast_ingest.require_api_key, or listen on localhost only.")));
	else
		ereport(WARNING,
				(errmsg("fast_ingest can be reached from elsewhere without TLS"),
				 errdetail("Whoever listens on the way to port %d can read API keys and events.",
						   fi_port),
				 errhint("Set fast_ingest.ssl_port, and fast_ingest.port to 0; or put a proxy with "
						 "TLS before it, and listen on localhost only.")));
}
