/*
 * rate_limit_check.h
 *
 * Rate limits of requests: events per second of a client address, an API key and a
 * channel. A request pays a token for each of its events, and one if it has no events.
 *
 * When the head of a request is complete, the request is refused if its client's or
 * its key's bucket is empty. Tokens are taken when the events are known, from all
 * buckets or from none: a request that is answered with 429 or 503 has paid nothing.
 */
#ifndef FAST_INGEST_RATE_LIMIT_CHECK_H
#define FAST_INGEST_RATE_LIMIT_CHECK_H

#include "utils/palloc.h"

#include "event/event.h"
#include "http/server/request.h"
#include "shared/rate_limits.h"

struct MHD_Response;

/* Tokens to be taken from a bucket, or taken from it. */
typedef struct
{
	RateTableKind kind;
	RateId id;
	RateLimit limit;
	int64 n;
	bool shared; /* set by RateLimitTake: see RateAnswer */
} RateCharge;

/* What a request pays. Set it to zeros before its first use. */
typedef struct
{
	RateCharge own[2]; /* as a client and for its key */
	int nown;

	/* for its events, by channel */
	RateCharge *channels;
	uint32 nchannels;
	uint32 room;
} RateCharges;

/*
 * Has the bucket of the request's client, or of its key, any token left? If not, the request's
 * limit is set to what the bucket says. May be called inside libmicrohttpd.
 */
extern bool RateLimitCheckClient(Request *request);
extern bool RateLimitCheckKey(Request *request);

/* Make the client pay for a request whose key is not valid. May be called inside libmicrohttpd. */
extern void RateLimitChargeClient(Request *request);

/* Count an event by its channel. The charges grow in that memory context. */
extern void RateLimitCountEvent(RateCharges *charges, MemoryContext context, const Event *event);

/*
 * Take n tokens from the buckets of client and key, and one from its channel's bucket for each
 * event that was counted. False if any has too few; then none is taken. Sets the request's
 * limit.
 */
extern bool RateLimitTake(Request *request, RateCharges *charges, int64 n);

/* Give back what RateLimitTake has just taken. */
extern void RateLimitReturn(Request *request, RateCharges *charges);

/* Add the headers that say how many tokens are left. May be called inside libmicrohttpd. */
extern void RateLimitAddHeaders(const Request *request, struct MHD_Response *response);

#endif
