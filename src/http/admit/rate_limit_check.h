/*
 * rate_limit_check.h
 *
 * Rate limits of requests: events per second of a client address, an API key and a
 * channel. A request counts its events, and 1 where it has none.
 *
 * Tokens are taken when the events are known, from all buckets or from none: an answer
 * 429 or 503 has taken nothing. Before, when the head is there, a request whose client or
 * key has none left at all is refused without its body.
 */
#ifndef FAST_INGEST_RATE_LIMIT_CHECK_H
#define FAST_INGEST_RATE_LIMIT_CHECK_H

#include "base/address.h"
#include "shared/key_image.h"
#include "shared/token_bucket.h"
#include "event/event.h"
#include "http/server/reply.h"
#include "utils/palloc.h"

struct Request;
struct MHD_Response;

/* What is known of a request; part of it, and zero at its begin. */
typedef struct
{
	RateId client;
	const char *whose; /* the bucket that the rest is about: constant text, NULL if none */
	RateLimit limit;
	RateAnswer answer; /* of the one that had least left, or too little */
	int64 wanted;	   /* tokens */
} RequestLimit;

/* Read the settings; called at start and after each reload. */
extern void LimitReadSettings(void);

/*
 * Where a request comes from, behind trusted proxies. May be called inside libmicrohttpd.
 */
extern ClientAddress LimitClientAddress(struct Request *request);

/*
 * Find out whose request it is, and look whether the client, or the key, has any token
 * left. May be called inside libmicrohttpd.
 */
extern bool LimitCheckClient(struct Request *request);
extern bool LimitCheckKey(struct Request *request, const ApiKey *key);

/* Make the client pay for a request whose key is wrong. */
extern void LimitChargeClient(struct Request *request);

/*
 * Count the events of a request by channel; begin forgets those of the request before,
 * and says where to keep them.
 */
extern void LimitBeginEvents(MemoryContext context);
extern void LimitCountEvent(const Event *event);

/*
 * Take n tokens of client and key (NULL: none), and those of the channels that were
 * counted since LimitBeginEvents. False if there are too few of any: none is taken then.
 * Return gives back what the last call took, for the same request.
 */
extern bool LimitTake(struct Request *request, const ApiKey *key, int64 n);
extern void LimitReturn(struct Request *request);

/* The answer to a request for which there were too few. */
extern Reply LimitRefusal(struct Request *request);

/* Add the headers that say what is left. May be called inside libmicrohttpd. */
extern void LimitAddHeaders(struct Request *request, struct MHD_Response *response);

#endif
