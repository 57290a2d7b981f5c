/*
 * tuple.h
 *
 * The staged form of an event: a minimal tuple of the columns that the
 * flusher inserts. Listener and flusher build the same descriptor, from
 * built-in types only, because the listener has no catalogs.
 */
#ifndef FAST_INGEST_TUPLE_H
#define FAST_INGEST_TUPLE_H

#include "access/htup_details.h"
#include "access/tupdesc.h"

#include "event/event.h"
#include "event/content_key.h"

/* The columns of a staged event, in order, as they are called in fast_ingest.events. */
#define EVENT_DATA_COLUMNS \
	"event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata"
#define EVENT_COLUMNS EVENT_DATA_COLUMNS ", event_key"

/* Descriptor of a staged event, allocated in the current context. */
extern TupleDesc EventTupleDesc(void);

/*
 * Form the tuple of a valid event in the current context, with the metadata
 * that json_metadata.c has collected. sender is for its key (see content_key.h); by_content asks
 * for a key of the content where the client gave none but said when the event happened. Raises an
 * ERROR for metadata that jsonb cannot hold.
 */
extern MinimalTuple EventFormTuple(TupleDesc desc, const Event *event, const EventSender *sender,
								   bool by_content);

/* The event_key of such a tuple, EVENT_KEY_SIZE bytes; NULL without one. */
extern const char *EventTupleKey(MinimalTuple tuple);

#endif
