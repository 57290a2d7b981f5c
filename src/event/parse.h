/*
 * parse.h
 *
 * From the bytes of a request body to events, by PostgreSQL's own JSON parser
 * in one pass: each event is handed on as soon as its closing brace is read,
 * so a bulk request is never held as a list.
 *
 * Compiled with FRONTEND it links without a server (libpgcommon).
 */
#ifndef FAST_INGEST_PARSE_H
#define FAST_INGEST_PARSE_H

#include "event/event.h"

typedef enum
{
	BODY_SINGLE, /* one JSON object */
	BODY_BULK,	 /* an array of objects, or {"events": [...]} */
	BODY_NDJSON	 /* one JSON object a line */
} BodyShape;

/* A piece of metadata, which is an object whose own braces are left out. */
typedef enum
{
	METADATA_BEGIN_OBJECT,
	METADATA_END_OBJECT,
	METADATA_BEGIN_ARRAY,
	METADATA_END_ARRAY,
	METADATA_KEY,
	METADATA_STRING,
	METADATA_NUMBER,
	METADATA_TRUE,
	METADATA_FALSE,
	METADATA_NULL
} MetadataToken;

/*
 * Receives the events. begin comes before anything of an event is allocated,
 * end when it is complete: error is NULL for a valid event, else its first
 * violation. What the event points to is only valid during the call; the
 * receiver may switch memory contexts in begin and reset them in end.
 *
 * metadata comes in between, once for each token: text is that of a key, string
 * or number, and stays valid until end. Calls are balanced, unless the event
 * turns out to be invalid.
 */
typedef struct
{
	void (*begin)(void *arg);
	void (*metadata)(void *arg, MetadataToken token, const char *text);
	void (*end)(void *arg, int index, Event *event, const char *error);
	void *arg;
} EventReceiver;

typedef enum
{
	PARSE_DONE,
	PARSE_UNREADABLE, /* not UTF-8, not JSON, or the wrong shape */
	PARSE_TOO_MANY	  /* more events than the rules allow */
} ParseResult;

/*
 * Parse a body, which must be followed by a NUL byte, and is changed. Unless it is
 * done, error says what is wrong with the request as a whole, and where; events that
 * were handed on already must be dropped by the caller. In a server it looks at
 * interrupts, which may end it by an ERROR.
 */
extern ParseResult ParseEvents(char *body, size_t len, BodyShape shape, const EventRules *rules,
							   const EventReceiver *receiver, char error[EVENT_ERROR_SIZE]);

#endif
