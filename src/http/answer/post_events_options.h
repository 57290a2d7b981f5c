/*
 * post_events_options.h
 *
 * What the head of a request says about its events: sender, idempotency key, parameters.
 */
#ifndef FAST_INGEST_POST_EVENTS_OPTIONS_H
#define FAST_INGEST_POST_EVENTS_OPTIONS_H

#include "event/content_key.h"
#include "http/server/request.h"

typedef struct
{
	EventSender sender;
	Slice idempotency_key; /* of the whole request; lives as long as the request */
	bool atomic;		   /* store all events or none */
} PostEventsOptions;

/*
 * Read the options of a request whose access was checked. An unknown parameter, one that is
 * given twice or has a wrong value, and an empty Idempotency-Key are refused: false with
 * the reply.
 */
extern bool PostEventsOptionsRead(Request *request, PostEventsOptions *options, Reply *refusal);

#endif
