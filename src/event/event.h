/*
 * event.h
 *
 * An event between the parser and its tuple, and the rules that it must satisfy.
 * This header needs no server.
 */
#ifndef FAST_INGEST_EVENT_H
#define FAST_INGEST_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text_slice.h"

/* The longest event_name and user_id, in bytes. */
#define MAX_NAME_LENGTH 200
/* The most tags of an event. Converting a tag takes several times its own bytes. */
#define MAX_TAGS 10000
/* The size of an error message that quotes one value, with its NUL. */
#define EVENT_ERROR_SIZE 320

/* Which fields an event may have: those of POST /events and /events/bulk, or of POST /event. */
typedef enum
{
	EVENT_FORM_FULL,
	EVENT_FORM_WEBSITE
} EventForm;

typedef struct
{
	EventForm form;
	int64_t now;		/* Unix time, microseconds */
	int64_t max_age;	/* microseconds; 0 allows any age */
	int64_t max_future; /* microseconds */
	int max_events;		/* in one request */
	bool fold_unknown;
	char **channels; /* ends with NULL; NULL allows any channel */
} EventRules;

/* Metadata that is being collected; see json_metadata.h. All zeros is empty metadata. */
typedef struct
{
	struct JsonbParseState *state; /* NULL before the first token */
	const char *error;			   /* why it cannot be stored, or NULL */
} Metadata;

typedef struct
{
	Slice event_name;
	Slice channel;
	Slice user_id;
	Slice campaign_id;
	Slice site_id;
	Slice path;
	Slice idempotency_key;
	/* the event's position in the request, from 1, if the key is the request's; else 0 */
	int key_position;
	Slice timestamp; /* as the client wrote it, for messages */
	Slice *tags;
	int ntags;
	bool has_tags;
	bool has_metadata;
	bool has_timestamp; /* the client gave a time */
	Metadata metadata;
	int64_t time; /* Unix time, microseconds */
} Event;

#endif
