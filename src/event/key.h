/*
 * key.h
 *
 * The 128-bit key that makes an event idempotent.
 */
#ifndef FAST_INGEST_KEY_H
#define FAST_INGEST_KEY_H

#include "event/event.h"

#define EVENT_KEY_SIZE 16

/*
 * The key of a client's idempotency key: a UUID as it is, anything else hashed.
 */
extern void KeyFromIdempotencyKey(Slice text, unsigned char key[EVENT_KEY_SIZE]);

/*
 * The key of an event's content; metadata in its canonical form (keys in
 * order, last of duplicates), so that spelling does not matter.
 */
extern void KeyFromContent(const Event *event, Slice metadata, unsigned char key[EVENT_KEY_SIZE]);

#endif
