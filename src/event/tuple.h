/*
 * tuple.h
 *
 * The staged form of an event: a minimal tuple of the columns that the
 * flusher inserts. Listener and flusher build the same descriptor. It has only
 * built-in types because the listener has no catalogs.
 */
#ifndef FAST_INGEST_TUPLE_H
#define FAST_INGEST_TUPLE_H

#include "access/htup_details.h"
#include "access/tupdesc.h"

#include "event/content_key.h"
#include "event/event.h"

/* The columns of a staged event in order, by their names in fast_ingest.events. */
#define EVENT_DATA_COLUMNS \
	"event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata"
#define EVENT_COLUMNS EVENT_DATA_COLUMNS ", event_key"

/* The descriptor of a staged event, allocated in the current context. */
extern TupleDesc EventTupleDesc(void);

/*
 * Form the tuple of a valid event in the current context. Returns NULL if jsonb cannot hold
 * the event's metadata; event->metadata.error says why.
 *
 * sender determines the event's key (see content_key.h). by_content: an event that has a
 * timestamp but no idempotency key gets a key of its content.
 */
extern MinimalTuple EventFormTuple(TupleDesc desc, Event *event, const EventSender *sender,
								   bool by_content);

/* The event_key of a staged event, EVENT_KEY_SIZE bytes, or NULL if it has none. */
extern const char *EventTupleKey(MinimalTuple tuple);

#endif
