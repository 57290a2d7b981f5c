/*
 * content_key.h
 *
 * The 128-bit key that makes an event idempotent within its day and its tenant. Events
 * of different tenants never have the same key.
 */
#ifndef FAST_INGEST_CONTENT_KEY_H
#define FAST_INGEST_CONTENT_KEY_H

#include "event/event.h"

#define EVENT_KEY_SIZE 16

/* What fi_dead_letters() puts before an event_key in idempotency_key. */
#define EVENT_KEY_PREFIX "event_key:"

/* The sender of an event. */
typedef struct
{
	Slice tenant;			 /* a digest; absent if no API key is required */
	bool may_give_event_key; /* to post a dead letter again under its key */
} EventSender;

/*
 * The key of an event that has an idempotency key. It depends on the tenant, the
 * idempotency key, the event's site_id and day, and key_position if that is not 0. The
 * spelling of a UUID does not matter. If the sender may give an event_key, the text behind
 * EVENT_KEY_PREFIX is the key itself.
 */
extern void KeyFromIdempotencyKey(const Event *event, const EventSender *sender,
								  unsigned char key[EVENT_KEY_SIZE]);

/*
 * The key of an event's content. metadata is in the form of jsonb (keys in order, the last
 * of duplicates), so its spelling does not matter.
 */
extern void KeyFromContent(const Event *event, const EventSender *sender, Slice metadata,
						   unsigned char key[EVENT_KEY_SIZE]);

#endif
