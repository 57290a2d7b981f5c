/*
 * key.c
 *
 * The answer is made of the listener's own copy of the keys.
 */
#include "postgres.h"

#include "http/answer/key.h"

#include <microhttpd.h>

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "auth/api_key.h"
#include "http/server/server.h"

/* An answer about one key is for nobody else */
static const ReplyHeader headers[] = {{"Cache-Control", "no-store"}, {NULL}};

static void
append_scopes(StringInfo body, const ApiKey *key)
{
	const char *comma = "";

	if (key == NULL)
	{
		appendStringInfoString(body, "null");
		return;
	}
	appendStringInfoChar(body, '[');
	for (uint32 scope = 1; scope <= API_SCOPE_ANY; scope <<= 1)
		if (key->scopes & scope)
		{
			appendStringInfo(body, "%s\"%s\"", comma, ApiScopeName(scope));
			comma = ",";
		}
	appendStringInfoChar(body, ']');
}

/*
 * Append the texts of a list, null if the key is not restricted
 */
static void
append_list(StringInfo body, const KeyList *list)
{
	if (list == NULL || list->n < 0)
	{
		appendStringInfoString(body, "null");
		return;
	}
	appendStringInfoChar(body, '[');
	for (int i = 0; i < list->n; i++)
	{
		Slice slice = KeyListText(list, i);
		char *text = pnstrdup(slice.data, slice.len);

		if (i > 0)
			appendStringInfoChar(body, ',');
		escape_json(body, text);
		pfree(text);
	}
	appendStringInfoChar(body, ']');
}

void
KeyHandle(Request *request)
{
	const ApiKey *key = request->access.key; /* NULL if none is required */
	StringInfoData body;
	Reply reply;

	initStringInfo(&body);
	appendStringInfo(&body, "{\"require_api_key\":%s,\"scopes\":", key != NULL ? "true" : "false");
	append_scopes(&body, key);
	appendStringInfoString(&body, ",\"sites\":");
	append_list(&body, key != NULL ? &key->site_ids : NULL);
	appendStringInfoString(&body, ",\"channels\":");
	append_list(&body, key != NULL ? &key->channels : NULL);
	appendStringInfoChar(&body, '}');
	reply = ReplyText(MHD_HTTP_OK, body.data, body.len);
	reply.headers = headers;
	pfree(body.data);
	ServerAnswer(request, reply);
}
