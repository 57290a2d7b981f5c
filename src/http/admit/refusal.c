/*
 * refusal.c
 *
 * The wording of all refusals. A message about an API key never holds any part of the key.
 */
#include "postgres.h"

#include "http/admit/refusal.h"

#include <microhttpd.h>

#include "base/settings.h"
#include "http/admit/route.h"

#define SHOWN_SIZE 100

/*
 * A header's value for a message, shortened; any character that is not ASCII is shown as "?"
 */
static const char *
show_header(const Request *request, const char *name, char shown[SHOWN_SIZE])
{
	const char *value = RequestHeader(request, name);

	strlcpy(shown, value ? value : "", SHOWN_SIZE);
	for (char *c = shown; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return shown;
}

static Reply
make_rate_limit_reply(const RequestLimit *limit)
{
	if (limit->answer.retry_after < 0)
		return ReplyError(MHD_HTTP_CONTENT_TOO_LARGE,
						  "%lld events at a time are more than the rate limit of the %s ever "
						  "allows: at most %lld",
						  (long long) limit->wanted, limit->whose, (long long) limit->limit.burst);
	return ReplyError(MHD_HTTP_TOO_MANY_REQUESTS,
					  "the rate limit of the %s is reached: %d events per second are allowed, and "
					  "%lld at a time",
					  limit->whose, limit->limit.rate, (long long) limit->limit.burst);
}

/*
 * The reply to a question about more than the key's websites or channels
 */
static Reply
make_key_limit_reply(const Request *request, const char *what)
{
	const char *path = RoutePaths[request->route];

	if (request->access.parameter == NULL)
		return ReplyError(MHD_HTTP_FORBIDDEN, "the API key is for some %s only: %s %s is about all",
						  what, Routes[request->route].method, path);
	return ReplyError(
		MHD_HTTP_FORBIDDEN,
		"the API key is for some %s only: expected the parameter %s with one or more of them", what,
		request->access.parameter);
}

Reply
RefusalReply(const Request *request)
{
	Reply reply = {0};
	char shown[SHOWN_SIZE];

	switch (request->refusal)
	{
		case REFUSAL_MALFORMED:
			reply = ReplyError(MHD_HTTP_BAD_REQUEST, "malformed request: %s", request->malformed);
			break;
		case REFUSAL_HEAD_TOO_LARGE:
			reply = ReplyError(MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
							   "headers are larger than %d bytes", MAX_REQUEST_HEAD_SIZE);
			reply.close = true;
			break;
		case REFUSAL_TOO_MANY_PARAMETERS:
			reply = ReplyError(MHD_HTTP_BAD_REQUEST, "too many parameters");
			break;
		case REFUSAL_PREFLIGHT:
			reply = ReplyConstant(MHD_HTTP_NO_CONTENT, "");
			break;
		case REFUSAL_OPTIONS:
			reply = ReplyConstant(MHD_HTTP_NO_CONTENT, "");
			reply.allow = "GET, HEAD, POST, OPTIONS";
			break;
		case REFUSAL_ORIGIN:
			reply = ReplyError(MHD_HTTP_FORBIDDEN,
							   "Origin \"%s\" is not one of fast_ingest.cors_origins",
							   show_header(request, "Origin", shown));
			break;
		case REFUSAL_NOT_FOUND:
			reply = ReplyError(MHD_HTTP_NOT_FOUND, "no such path");
			break;
		case REFUSAL_METHOD:
			reply = ReplyError(MHD_HTTP_METHOD_NOT_ALLOWED, "method is not allowed: expected %s",
							   Routes[request->route].allow);
			reply.allow = Routes[request->route].allow;
			break;
		case REFUSAL_RATE_LIMIT:
			reply = make_rate_limit_reply(&request->limit);
			break;
		case REFUSAL_KEYS_NOT_LOADED:
			reply = ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, KEYS_NOT_LOADED_MESSAGE);
			break;
		case REFUSAL_NO_KEY:
			reply = ReplyError(
				MHD_HTTP_UNAUTHORIZED,
				"an API key is needed: expected the header \"Authorization: Bearer "
				"...\" or \"X-API-Key: ...\"%s",
				Routes[request->route].scope == API_SCOPE_WRITE ? ", or the parameter key" : "");
			break;
		case REFUSAL_WRONG_KEY:
			reply = ReplyError(MHD_HTTP_UNAUTHORIZED, "the API key is not valid");
			break;
		case REFUSAL_KEY_SCOPE:
			reply = ReplyError(MHD_HTTP_FORBIDDEN, "the API key has not the scope \"%s\"",
							   ApiScopeName(Routes[request->route].scope));
			break;
		case REFUSAL_KEY_ORIGIN:
			reply = ReplyError(MHD_HTTP_FORBIDDEN, "the API key is not for this Origin");
			break;
		case REFUSAL_KEY_SITE:
			reply = make_key_limit_reply(request, "websites");
			break;
		case REFUSAL_KEY_CHANNEL:
			reply = make_key_limit_reply(request, "channels");
			break;
		case REFUSAL_CONTENT_TYPE:
			reply = ReplyError(
				MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
				"Content-Type \"%s\" is not supported: expected application/json%s, "
				"in UTF-8",
				show_header(request, "Content-Type", shown),
				Routes[request->route].json_only ? "" : ", application/x-ndjson or text/plain");
			break;
		case REFUSAL_CONTENT_ENCODING:
			reply = ReplyError(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
							   "Content-Encoding \"%s\" is not supported: expected gzip, deflate, "
							   "zstd or identity",
							   show_header(request, "Content-Encoding", shown));
			break;
		case REFUSAL_DAMAGED:
			reply =
				ReplyError(MHD_HTTP_BAD_REQUEST, "body is not what Content-Encoding \"%s\" says",
						   show_header(request, "Content-Encoding", shown));
			break;
		case REFUSAL_BODY_TOO_LARGE:
			reply = ReplyError(MHD_HTTP_CONTENT_TOO_LARGE,
							   "body is larger than %d kB (fast_ingest.max_body_size)",
							   fi_max_body_size);
			break;
		case REFUSAL_NO_MEMORY:
		case REFUSAL_NONE:
			reply =
				ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE,
						   "too many large requests at a time (fast_ingest.max_request_memory)");
			break;
	}
	return reply;
}
