/*
 * error_json.h
 *
 * The body of an HTTP response that reports an error: {"error":"message"}.
 */
#ifndef FAST_INGEST_ERROR_JSON_H
#define FAST_INGEST_ERROR_JSON_H

#include "lib/stringinfo.h"
#include "utils/json.h"

#define ERROR_JSON_BEGIN "{\"error\":"

/* The body as a literal. message is a literal that needs no escaping in JSON. */
#define ERROR_JSON(message) ERROR_JSON_BEGIN "\"" message "\"}"

/*
 * Append a JSON object whose last member is a text. begin is what comes before the text, from
 * the brace to the colon, like ERROR_JSON_BEGIN. The text may hold anything; it is escaped.
 */
static inline void
AppendMessageJson(StringInfo body, const char *begin, const char *text)
{
	appendStringInfoString(body, begin);
	escape_json(body, text);
	appendStringInfoChar(body, '}');
}

#endif
