/*
 * parse.h
 *
 * Parses the events of a request body with PostgreSQL's own JSON parser, in one pass.
 * Each event is handed on as soon as its closing brace is read, so the events of a bulk
 * request are never all in memory.
 *
 * Compiled with FRONTEND it links without a server, against libpgcommon.
 */
#ifndef FAST_INGEST_PARSE_H
#define FAST_INGEST_PARSE_H

#include "event/event.h"

typedef enum
{
	BODY_SINGLE, /* one JSON object */
	BODY_BULK,	 /* an array of objects, or {"events": [...]} */
	BODY_NDJSON	 /* one JSON object per line */
} BodyShape;

/*
 * Receives the events of a body. begin is called before anything of an event is
 * allocated, end when the event is complete; error is NULL for a valid event, else it
 * describes the event's first violation. index counts the body's events from 0.
 *
 * What the event points to is allocated in the current memory context and valid during
 * the call of end. The receiver may switch memory contexts in begin and reset them in end.
 */
typedef struct
{
	void (*begin)(void *arg);
	void (*end)(void *arg, int index, Event *event, const char *error);
	void *arg;
} EventReceiver;

typedef enum
{
	PARSE_DONE,
	PARSE_UNREADABLE, /* the body is not UTF-8, not JSON, or of another shape */
	PARSE_TOO_MANY	  /* the body has more events than the rules allow */
} ParseResult;

/*
 * Parse a body. A NUL byte must follow it. The body is changed.
 *
 * On any result but PARSE_DONE error says what is wrong with the body as a whole, and
 * where; the caller must drop the events that it has received. In a server,
 * interrupts are checked and may raise an ERROR.
 */
extern ParseResult ParseEvents(char *body, size_t len, BodyShape shape, const EventRules *rules,
							   const EventReceiver *receiver, char error[EVENT_ERROR_SIZE]);

#endif
