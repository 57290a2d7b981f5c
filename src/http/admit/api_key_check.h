/*
 * api_key_check.h
 *
 * Who may ask for what: the API key of a request, looked at as soon as its head is
 * there, so that the body of one that is refused is never kept.
 *
 * Which scope a route needs, and what else a key may be restricted to, is in
 * api_key_check.c. The restriction of events is looked at event by event.
 */
#ifndef FAST_INGEST_API_KEY_CHECK_H
#define FAST_INGEST_API_KEY_CHECK_H

#include "auth/api_key.h"
#include "event/event.h"
#include "http/server/reply.h"
#include "http/listen/listen_socket.h"

struct Request;
struct MHD_Response;

typedef enum
{
	ACCESS_ALLOWED,
	ACCESS_NOT_LOADED, /* the keys are not known */
	ACCESS_NO_KEY,
	ACCESS_WRONG_KEY,
	ACCESS_WRONG_SCOPE,
	ACCESS_WRONG_ORIGIN,
	ACCESS_WRONG_PARAMETER, /* of a question */
	ACCESS_LIMITED			/* too many events: see rate_limit_check.h */
} AccessVerdict;

/* What is known of a request; part of it, and zero at its begin. */
typedef struct
{
	AccessVerdict verdict;
	ApiScope scope;		   /* that the route needs */
	const char *parameter; /* that is wrong: constant text */
	const ApiKey *key;	   /* NULL where none is needed */
	uint64 key_id;		   /* of the last valid one; 0 if there was none */
	uint64 generation;	   /* of the keys when it was looked at */
} Access;

/* Prepare this process; called once. Settings are read again by LimitReadSettings. */
extern void AccessInit(void);

/*
 * Look at the head of a request whose route is known; false refuses it. May be called
 * inside libmicrohttpd. Again: when the request is complete, as its key may have been
 * revoked meanwhile; a request without events is charged for then.
 */
extern bool AccessCheckHead(struct Request *request);
extern bool AccessCheckAgain(struct Request *request);

/* The answer to a request that was refused. */
extern Reply AccessRefusal(struct Request *request);

/* Add the headers that answers to a request have. May be called inside libmicrohttpd. */
extern void AccessAddHeaders(struct Request *request, struct MHD_Response *response);

/*
 * May the key send this event? False with a message that names what it may not.
 * With no key (NULL), yes.
 */
extern bool AccessCheckEvent(const ApiKey *key, const Event *event, char error[EVENT_ERROR_SIZE]);

/* Would a request with a valid key be let in? Otherwise the reason. */
extern const char *AccessNotReady(void);

/* Log what others can see and do who reach a socket that is not of this machine alone. */
extern void AccessWarn(const ListenSockets *sockets, bool tls);

#endif
