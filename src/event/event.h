/*
 * event.h
 *
 * An event as the client sent it, after parsing and before it becomes a
 * tuple, and the rules it has to satisfy. Nothing here needs a server: these
 * files are linked into the fuzz target as they are.
 */
#ifndef FAST_INGEST_EVENT_H
#define FAST_INGEST_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text_slice.h"

/* Limits that API.md fixes, in bytes. */
#define MAX_NAME_LENGTH 200
/* Elements of tags; each costs several times its bytes while it is converted. */
#define MAX_TAGS 10000
/* Room for an error message that quotes one value. */
#define EVENT_ERROR_SIZE 320

/* Which fields a request may carry: POST /events and /events/bulk, or POST /event. */
typedef enum
{
	EVENT_FORM_FULL,
	EVENT_FORM_WEBSITE
} EventForm;

typedef struct
{
	EventForm form;
	int64_t now;		/* Unix time, microseconds */
	int64_t max_age;	/* microseconds; 0: any age */
	int64_t max_future; /* microseconds */
	int max_events;		/* in one request */
	bool fold_unknown;
	char **channels; /* NULL-terminated; NULL: any */
} EventRules;

typedef struct
{
	Slice event_name;
	Slice channel;
	Slice user_id;
	Slice campaign_id;
	Slice site_id;
	Slice path;
	Slice idempotency_key;
	int key_position; /* in the request whose key it is, from 1; 0: it is the event's own */
	Slice timestamp;  /* as it was written, for messages */
	Slice *tags;
	int ntags;
	bool has_tags;
	bool has_metadata;	/* the receiver has been given its members */
	bool has_timestamp; /* the client said when */
	int64_t time;		/* Unix time, microseconds */
} Event;

#endif
