/*
 * parse_private.h
 *
 * Shared by parse.c, which follows the JSON of a body, and event_fields.c, which knows the
 * fields of an event.
 */
#ifndef FAST_INGEST_PARSE_PRIVATE_H
#define FAST_INGEST_PARSE_PRIVATE_H

#include <setjmp.h>

#include "common/jsonapi.h"

#include "event/json_metadata.h"
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
	size_t offset; /* of the field's Slice in Event */
} Field;

/* The fields that one form of event may have. */
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
	bool seen_events; /* the array of events has begun */
	int index;		  /* of the current event in the request */
	const char *mark; /* the next mark of json_escape.h, or NULL */

	bool in_event;
	Event event;
	const Field *field; /* the field of the event that is being read, or NULL */
	uint32 seen;		/* one bit per field */
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

/* Stands for every field that the form does not have. */
extern const Field UnknownField;

/* The fields of a form; the field of that name, or UnknownField. */
extern FieldList FieldsOf(EventForm form);
extern const Field *FieldFind(FieldList fields, const char *name);

/*
 * Called when the first token of a field's value has been read: reject the event if the
 * value is not of the field's type.
 */
extern void FieldCheckType(Parser *p, const Field *field);

/*
 * Describe the value whose first token has just been read, for a message. The text may be
 * in a static buffer, which the next call reuses.
 */
extern const char *FieldDescribeValue(Parser *p);

/*
 * Store the value of the field being read, or a tag; a bad value rejects the event.
 * True if the event keeps the token; otherwise the caller may free it.
 */
extern bool FieldSetValue(Parser *p, char *token, JsonTokenType type);
extern bool FieldAddTag(Parser *p, char *token);

/*
 * Collect a token if it is part of metadata: of the field of that name, or of an unknown
 * field that is folded into metadata. True if the metadata keeps the text.
 */
extern bool FieldAddMetadata(Parser *p, MetadataToken token, const char *text);

#endif
