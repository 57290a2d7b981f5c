/*
 * post_events_options.c
 *
 * Reads the options of a request with events. Unknown parameters are refused, so that a
 * misspelt parameter is not ignored. The parameter "key" has been read already (see
 * api_key_check.c).
 */
#include "postgres.h"

#include "http/answer/post_events_options.h"

#include <microhttpd.h>

#include "utils/builtins.h"

#include "auth/api_key.h"
#include "event/validate.h"
#include "http/answer/query_parameters.h"

typedef struct
{
	Parameters parameters; /* all but the API key */
	int nkeys;
} GivenParameters;

/*
 * Callback: take one parameter. The only possible error is that memory runs out (see
 * query_requests.c).
 */
static enum MHD_Result
add_parameter(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
			  const char *value, size_t value_len)
{
	GivenParameters *given = cls;

	if (name_len == strlen("key") && memcmp(name, "key", name_len) == 0)
		return ++given->nkeys == 1 ? MHD_YES : MHD_NO;
	return ParametersAdd(&given->parameters, name, name_len, value, value_len) ? MHD_YES : MHD_NO;
}

/*
 * Read the parameters that are no API key; false with the reply
 */
static bool
read_options(const Parameters *parameters, bool bulk, bool *atomic, Reply *refusal)
{
	const char *name = parameters->text.data;

	for (int i = 0; i < parameters->n; i++)
	{
		const char *value = name + strlen(name) + 1;

		if (!bulk || strcmp(name, "atomic") != 0)
		{
			*refusal = ReplyError(MHD_HTTP_BAD_REQUEST, "unknown parameter %s: expected %s",
								  QuoteValue(name, strlen(name)), bulk ? "atomic and key" : "key");
			return false;
		}
		if (!parse_bool(value, atomic))
		{
			*refusal = ReplyError(MHD_HTTP_BAD_REQUEST, "atomic is %s: expected true or false",
								  QuoteValue(value, strlen(value)));
			return false;
		}
		name = value + strlen(value) + 1;
	}
	return true;
}

/*
 * Read all parameters; false with the reply
 */
static bool
read_parameters(Request *request, bool *atomic, Reply *refusal)
{
	GivenParameters given = {0};

	initStringInfo(&given.parameters.text);
	(void) MHD_get_connection_values_n(request->mhd, MHD_GET_ARGUMENT_KIND, add_parameter, &given);
	if (given.nkeys > 1)
		*refusal = ReplyError(MHD_HTTP_BAD_REQUEST,
							  "parameter \"key\" is not allowed: it is given more than once");
	else if (given.parameters.error != NULL)
		*refusal = ReplyError(MHD_HTTP_BAD_REQUEST, "parameter \"%s\" is not allowed: %s",
							  given.parameters.name, given.parameters.error);
	else
		return read_options(&given.parameters, request->route == ROUTE_BULK, atomic, refusal);
	return false;
}

/*
 * The sender of a request's events. If no API key is required, all clients are one tenant, which
 * may do what a key with the scope "admin" may.
 */
static EventSender
make_sender(const ApiKey *key)
{
	if (key == NULL)
		return (EventSender){.may_give_event_key = true};
	return (EventSender){.tenant = {(const char *) key->tenant.bytes, sizeof(key->tenant.bytes)},
						 .may_give_event_key = (key->scopes & API_SCOPE_ADMIN) != 0};
}

bool
PostEventsOptionsRead(Request *request, PostEventsOptions *options, Reply *refusal)
{
	const char *key = RequestHeader(request, "Idempotency-Key");

	*options = (PostEventsOptions){.sender = make_sender(request->access.key)};
	if (key != NULL && key[0] == '\0')
	{
		*refusal =
			ReplyError(MHD_HTTP_BAD_REQUEST, "Idempotency-Key is empty: expected non-empty text");
		return false;
	}
	if (key != NULL)
		options->idempotency_key = (Slice){key, strlen(key)};
	return read_parameters(request, &options->atomic, refusal);
}
