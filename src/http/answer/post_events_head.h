/*
 * post_events_head.h
 *
 * What the head of a request that brings events says about them.
 */
#ifndef FAST_INGEST_POST_EVENTS_HEAD_H
#define FAST_INGEST_POST_EVENTS_HEAD_H

#include "event/content_key.h"
#include "http/server/request.h"

typedef struct
{
	EventSender sender;
	Slice idempotency_key; /* of the header; lives as long as the request */
	bool atomic;
} PostEventsHead;

/*
 * Read it. A parameter that is not known, is empty or is given twice, and an empty
 * Idempotency-Key are refused: false with the answer.
 */
extern bool PostEventsHeadRead(Request *request, PostEventsHead *head, Reply *refusal);

#endif
