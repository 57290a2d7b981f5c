/*
 * content_key.h
 *
 * The 128-bit key that makes an event idempotent, within its day and for one tenant:
 * what one tenant sends is never taken for what another one sends.
 */
#ifndef FAST_INGEST_CONTENT_KEY_H
#define FAST_INGEST_CONTENT_KEY_H

#include "event/event.h"

#define EVENT_KEY_SIZE 16

/* Before an event_key, as fi_dead_letters() shows it. */
#define EVENT_KEY_PREFIX "event_key:"

/* Who sends an event. */
typedef struct
{
	Slice tenant;			 /* a digest; absent where no API key is needed */
	bool may_give_event_key; /* that of a dead letter which it posts again */
} EventSender;

/*
 * The key of a client's idempotency key, of the event's website and day, and, where the key
 * is that of a whole request, of the event's position in it. The spelling of a UUID
 * does not matter. Behind EVENT_KEY_PREFIX it is the key itself, from who may give one.
 */
extern void KeyFromIdempotencyKey(const Event *event, const EventSender *sender,
								  unsigned char key[EVENT_KEY_SIZE]);

/*
 * The key of an event's content; metadata in its canonical form (keys in
 * order, last of duplicates), so that spelling does not matter.
 */
extern void KeyFromContent(const Event *event, const EventSender *sender, Slice metadata,
						   unsigned char key[EVENT_KEY_SIZE]);

#endif
