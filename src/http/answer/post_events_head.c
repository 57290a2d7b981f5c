/*
 * post_events_head.c
 *
 * The sender, the key and the parameters of a request with events. A parameter that is
 * misspelt must not be taken for one that is not there. The API key, which may be a
 * parameter, has been looked at already.
 */
#include "postgres.h"

#include "http/answer/post_events_head.h"

#include <microhttpd.h>

#include "utils/builtins.h"

#include "event/validate.h"
#include "http/answer/query_parameters.h"

typedef struct
{
	Parameters parameters; /* but for the key */
	int keys;
} Given;

/*
 * Callback: take one parameter. Raises no error but for want of memory (see get_metrics.c).
 */
static enum MHD_Result
add_parameter(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
			  const char *value, size_t value_len)
{
	Given *given = cls;

	if (name_len == strlen("key") && memcmp(name, "key", name_len) == 0)
		return ++given->keys == 1 ? MHD_YES : MHD_NO;
	return ParametersAdd(&given->parameters, name, name_len, value, value_len) ? MHD_YES : MHD_NO;
}

/*
 * Take the parameters that are no key; false with the answer
 */
static bool
take_parameters(const Parameters *parameters, bool bulk, bool *atomic, Reply *refusal)
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

static bool
read_parameters(Request *request, bool *atomic, Reply *refusal)
{
	Given given = {0};

	initStringInfo(&given.parameters.text);
	(void) MHD_get_connection_values_n(request->connection->mhd, MHD_GET_ARGUMENT_KIND,
									   add_parameter, &given);
	if (given.keys > 1)
		*refusal = ReplyError(MHD_HTTP_BAD_REQUEST,
							  "parameter \"key\" is not allowed: it is given more than once");
	else if (given.parameters.error != NULL)
		*refusal = ReplyError(MHD_HTTP_BAD_REQUEST, "parameter \"%s\" is not allowed: %s",
							  given.parameters.name, given.parameters.error);
	else
		return take_parameters(&given.parameters, request->route == ROUTE_BULK, atomic, refusal);
	return false;
}

/*
 * Whose events a request has. Where no API key is needed everybody is one tenant, who may
 * do what a key for operation may.
 */
static EventSender
sender_of(const ApiKey *key)
{
	if (key == NULL)
		return (EventSender){.may_give_event_key = true};
	return (EventSender){.tenant = {(const char *) key->tenant.bytes, sizeof(key->tenant.bytes)},
						 .may_give_event_key = (key->scopes & API_SCOPE_ADMIN) != 0};
}

bool
PostEventsHeadRead(Request *request, PostEventsHead *head, Reply *refusal)
{
	const char *key = RequestHeader(request, "Idempotency-Key");

	*head = (PostEventsHead){.sender = sender_of(request->access.key)};
	if (key != NULL && key[0] == '\0')
	{
		*refusal =
			ReplyError(MHD_HTTP_BAD_REQUEST, "Idempotency-Key is empty: expected non-empty text");
		return false;
	}
	if (key != NULL)
		head->idempotency_key = (Slice){key, strlen(key)};
	return read_parameters(request, &head->atomic, refusal);
}
