/*
 * parse_private.h
 *
 * What parse.c, which follows the JSON of a body, and event_fields.c, which knows the fields
 * of an event, share.
 */
#ifndef FAST_INGEST_PARSE_PRIVATE_H
#define FAST_INGEST_PARSE_PRIVATE_H

#include <setjmp.h>

#include "common/jsonapi.h"

#include "event/parse.h"

typedef enum
{
	FIELD_TEXT,
	FIELD_TIMESTAMP,
	FIELD_TAGS,
	FIELD_METADATA,
	FIELD_UNKNOWN
} FieldKind;

typedef struct
{
	const char *name;
	FieldKind kind;
	size_t offset; /* of its Slice in Event */
} Field;

/* The fields of a form of event. */
typedef struct
{
	const Field *fields;
	int n;
} FieldList;

typedef struct
{
	const EventRules *rules;
	const EventReceiver *receiver;
	FieldList fields;
	const char *body;
	const char *body_end;
	JsonLexContext *lex;
	BodyShape shape;
	sigjmp_buf fail;
	char *body_error;

	int depth;
	int event_depth;  /* NO_EVENT while no event may begin */
	bool seen_events; /* the array of events has been met */
	int index;		  /* of the current event in the request */
	const char *mark; /* the next one of json_escape.h, or NULL */

	bool in_event;
	Event event;
	const Field *field; /* the event's field being read */
	uint32 seen;		/* bit per field */
	int tags_room;
	int metadata_tokens;
	char event_error[EVENT_ERROR_SIZE]; /* "" while the event is valid */
} Parser;

/*
 * Record an event's first violation
 */
#define reject_event(p, ...) \
	do \
	{ \
		if ((p)->event_error[0] == '\0') \
			snprintf((p)->event_error, EVENT_ERROR_SIZE, __VA_ARGS__); \
	} while (0)

/* The field of no form. */
extern const Field UnknownField;

/* The fields of a form, and the one of them that has a name, else UnknownField. */
extern FieldList FieldsOf(EventForm form);
extern const Field *FieldFind(FieldList fields, const char *name);

/*
 * The first token of a value was just read: check its type; describe it for a message,
 * in a static buffer that the next call reuses.
 */
extern void FieldCheckType(Parser *p, const Field *field);
extern const char *FieldDescribeValue(Parser *p);

/*
 * Take the value of the field being read, or an element of its tags. True if the text,
 * which was allocated for us, was kept.
 */
extern bool FieldTakeValue(Parser *p, char *token, JsonTokenType type);
extern bool FieldTakeTag(Parser *p, char *token);

#endif
