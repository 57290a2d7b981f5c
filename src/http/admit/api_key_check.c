/*
 * api_key_check.c
 *
 * Finds the API key of a request and checks its restrictions. Nothing that is called inside
 * libmicrohttpd raises an error or allocates memory.
 */
#include "postgres.h"

#include "http/admit/api_key_check.h"

#include "base/settings.h"
#include "event/validate.h"
#include "http/admit/route.h"
#include "query/parameters/value_list.h"

/*
 * The key that a request was sent with, or NULL. The parameter "key" is for browsers, which
 * cannot send headers with sendBeacon. It is accepted for events only, because proxies
 * write targets to their logs.
 */
static const char *
find_sent_key(const Request *request)
{
	static const char bearer[] = "Bearer"; /* "Bearer" alone is an empty key */
	const char *value = RequestHeader(request, "Authorization");

	if (value != NULL && pg_strncasecmp(value, bearer, strlen(bearer)) == 0 &&
		(value[strlen(bearer)] == '\0' || value[strlen(bearer)] == ' '))
		return value + strlen(bearer) + strspn(value + strlen(bearer), " ");
	value = RequestHeader(request, "X-API-Key");
	if (value == NULL && Routes[request->route].scope == API_SCOPE_WRITE)
		value = RequestParameter(request, "key");
	return value;
}

/*
 * Are all values of a parameter allowed? It is given, and one or several values with commas
 * between them, or one value as it stands.
 */
static bool
check_values(const Request *request, const char *name, bool several, const KeyList *allowed)
{
	const char *rest = name != NULL ? RequestParameter(request, name) : NULL;
	char value[MAX_REQUEST_HEAD_SIZE];

	if (rest == NULL || strlen(rest) >= sizeof(value))
		return false;
	if (!several)
		return KeyAllows(allowed, rest, strlen(rest));
	while (rest != NULL)
		if (ValueListNext(&rest, value) != NULL || !KeyAllows(allowed, value, strlen(value)))
			return false;
	return true;
}

/*
 * Check what a question is about. A key for some websites or channels must name them, so that
 * the answer tells of nothing else.
 */
static Refusal
check_question(Request *request, const ApiKey *key)
{
	const Route *route = &Routes[request->route];

	if (key->site_ids.n >= 0)
	{
		request->access.parameter = route->site_parameter;
		if (!check_values(request, route->site_parameter, request->route != ROUTE_STATS,
						  &key->site_ids))
			return REFUSAL_KEY_SITE;
	}
	if (key->channels.n >= 0)
	{
		request->access.parameter = route->channel_parameter;
		if (!check_values(request, route->channel_parameter, true, &key->channels))
			return REFUSAL_KEY_CHANNEL;
	}
	return REFUSAL_NONE;
}

Refusal
ApiKeyCheck(Request *request)
{
	RequestAccess *access = &request->access;
	ApiScope scope = Routes[request->route].scope;
	const char *text;
	const char *origin;
	bool loaded;

	access->key = NULL;
	access->generation = KeyImageRefresh(&loaded);
	if (!fi_require_api_key)
		return REFUSAL_NONE;
	if (!loaded)
		return REFUSAL_KEYS_NOT_LOADED;
	text = find_sent_key(request);
	if (text == NULL)
		return REFUSAL_NO_KEY;
	access->key = ApiKeyFind(text);
	if (access->key == NULL)
		return REFUSAL_WRONG_KEY;
	access->key_id = access->key->id;
	if ((access->key->scopes & scope) == 0)
		return REFUSAL_KEY_SCOPE;
	origin = RequestHeader(request, "Origin");
	if (access->key->origins.n >= 0 &&
		(origin == NULL || !KeyAllows(&access->key->origins, origin, strlen(origin))))
		return REFUSAL_KEY_ORIGIN;
	return Routes[request->route].site_parameter != NULL || Routes[request->route].whole
			   ? check_question(request, access->key)
			   : REFUSAL_NONE;
}

bool
ApiKeyIsOutdated(const Request *request)
{
	bool loaded;

	return request->access.generation != KeyImageRefresh(&loaded) ||
		   (request->access.key == NULL && fi_require_api_key);
}

/*
 * Is the value of an event's field one that the key allows?
 */
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
ApiKeyCheckEvent(const ApiKey *key, const Event *event, char error[EVENT_ERROR_SIZE])
{
	return key == NULL || (check_field(&key->channels, "channel", &event->channel, error) &&
						   check_field(&key->site_ids, "site_id", &event->site_id, error));
}

bool
ApiKeysAreReady(void)
{
	bool loaded;

	(void) KeyImageRefresh(&loaded);
	return loaded || !fi_require_api_key;
}
