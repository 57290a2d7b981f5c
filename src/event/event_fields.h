/*
 * event_fields.h
 *
 * The fields that an event may have, and an event while its fields are read.
 */
#ifndef FAST_INGEST_EVENT_FIELDS_H
#define FAST_INGEST_EVENT_FIELDS_H

#include "common/jsonapi.h"

#include "event/event.h"
#include "event/json_metadata.h"

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

/* An event while it is read. */
typedef struct
{
	JsonLexContext *lex; /* of the body: its current token is what errors describe */
	Event event;
	const Field *field; /* the one being read, or NULL */
	uint32 seen;		/* one bit per field */
	int tags_room;
	int metadata_tokens;
	char error[EVENT_ERROR_SIZE]; /* "" while the event is valid */
} EventDraft;

/*
 * Record an event's first violation
 */
#define reject_event(draft, ...) \
	do \
	{ \
		if ((draft)->error[0] == '\0') \
			snprintf((draft)->error, EVENT_ERROR_SIZE, __VA_ARGS__); \
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
extern void FieldCheckType(EventDraft *draft, const Field *field);

/*
 * Describe the value whose first token has just been read, for a message. The text may be
 * in a static buffer, which the next call reuses.
 */
extern const char *FieldDescribeValue(EventDraft *draft);

/*
 * Store the value of the field being read, or a tag; a bad value rejects the event.
 * True if the event keeps the token; otherwise the caller may free it.
 */
extern bool FieldSetValue(EventDraft *draft, char *token, JsonTokenType type);
extern bool FieldAddTag(EventDraft *draft, char *token);

/*
 * Collect a token if it is part of metadata: of the field of that name, or of an unknown
 * field that is folded into metadata. own: it is the field's own value, not one within. One
 * token too many rejects the event. True if the metadata keeps the text.
 */
extern bool FieldAddMetadata(EventDraft *draft, MetadataToken token, const char *text, bool own);

#endif
