/*
 * key.h
 *
 * The 128-bit key that makes an event idempotent, within its day and for one tenant:
 * what an API key's tenant sends is never taken for what another one sends. tenant is
 * a digest, and absent where no API key is needed.
 */
#ifndef FAST_INGEST_KEY_H
#define FAST_INGEST_KEY_H

#include "event/event.h"

#define EVENT_KEY_SIZE 16

/*
 * The key of a client's idempotency key, of the event's website, and, where the key
 * is that of a whole request, of the event's position in it. The spelling of a UUID
 * does not matter.
 */
extern void KeyFromIdempotencyKey(const Event *event, Slice tenant,
								  unsigned char key[EVENT_KEY_SIZE]);

/*
 * The key of an event's content; metadata in its canonical form (keys in
 * order, last of duplicates), so that spelling does not matter.
 */
extern void KeyFromContent(const Event *event, Slice tenant, Slice metadata,
						   unsigned char key[EVENT_KEY_SIZE]);

#endif
