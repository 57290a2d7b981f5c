/*
 * ingest_head.h
 *
 * What the head of a request that brings events says about them.
 */
#ifndef FAST_INGEST_INGEST_HEAD_H
#define FAST_INGEST_INGEST_HEAD_H

#include "event/key.h"
#include "http/request.h"

typedef struct
{
	EventSender sender;
	Slice idempotency_key; /* of the header; lives as long as the request */
	bool atomic;
} IngestHead;

/*
 * Read it. A parameter that is not known, is empty or is given twice, and an empty
 * Idempotency-Key are refused: false with the answer.
 */
extern bool IngestHeadRead(Request *request, IngestHead *head, Reply *refusal);

#endif
