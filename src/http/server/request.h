/*
 * request.h
 *
 * A request as the listener sees it, and its memory.
 *
 * libmicrohttpd calls back into server.c while it runs. Such a callback must not raise a
 * PostgreSQL error, so it only collects: it looks at headers, appends to the body,
 * and suspends a complete request and puts it on the ready queue. Everything else
 * happens outside of libmicrohttpd.
 *
 * A request is RECEIVING, READY (on the ready queue), WAITING (until its events are committed,
 * or until a query worker has answered) and ANSWERED, in this order; most routes skip WAITING. It
 * is suspended while it is READY or WAITING, and while it is ANSWERED by a stream that has nothing
 * to send (see reply.h).
 */
#ifndef FAST_INGEST_REQUEST_H
#define FAST_INGEST_REQUEST_H

#include "lib/ilist.h"

#include "base/address.h"
#include "http/server/decompress.h"
#include "http/server/head_check.h"
#include "http/server/reply.h"
#include "shared/key_image.h"
#include "shared/shared_state.h"
#include "shared/types/token_bucket.h"

struct Connection;
struct MHD_Connection;

/* The longest id of a request, with its NUL. */
#define REQUEST_ID_SIZE 129

typedef enum
{
	REQUEST_RECEIVING,
	REQUEST_READY,
	REQUEST_WAITING,
	REQUEST_ANSWERED
} RequestState;

/* Why a request is answered without a look at its body. http/admit/refusal.c words them. */
typedef enum
{
	REFUSAL_NONE,
	REFUSAL_MALFORMED,
	REFUSAL_HEAD_TOO_LARGE,
	REFUSAL_TOO_MANY_PARAMETERS,
	REFUSAL_PREFLIGHT, /* no refusal: the reply is all in its headers */
	REFUSAL_OPTIONS,   /* no refusal either: OPTIONS of the whole server */
	REFUSAL_ORIGIN,
	REFUSAL_NOT_FOUND,
	REFUSAL_METHOD,
	REFUSAL_RATE_LIMIT,
	REFUSAL_KEYS_NOT_LOADED,
	REFUSAL_NO_KEY,
	REFUSAL_WRONG_KEY,
	REFUSAL_KEY_SCOPE,
	REFUSAL_KEY_ORIGIN,
	REFUSAL_KEY_SITE,
	REFUSAL_KEY_CHANNEL,
	REFUSAL_CONTENT_TYPE,
	REFUSAL_CONTENT_ENCODING,
	REFUSAL_DAMAGED, /* the body is not what its Content-Encoding says */
	REFUSAL_BODY_TOO_LARGE,
	REFUSAL_NO_MEMORY
} Refusal;

/* What http/admit/api_key_check.c has found out. */
typedef struct
{
	const ApiKey *key;	   /* NULL if none is required, or the one sent is not valid */
	uint64 key_id;		   /* of the last valid key, for the log; 0 if there was none */
	uint64 generation;	   /* of the key image in which the key was looked up */
	const char *parameter; /* constant text: the one that must name what the key allows; NULL if
							* the route has none */
} RequestAccess;

/* What http/admit/rate_limit_check.c has found out. */
typedef struct
{
	RateId client;	   /* of the bucket of the client's address */
	const char *whose; /* constant text: the bucket that the rest describes; NULL: none */
	RateLimit limit;
	RateAnswer answer;
	int64 wanted; /* tokens */
} RequestLimit;

typedef struct Request
{
	dlist_node node; /* in the ready queue or one of the waiting queues */
	struct Connection *connection;
	struct MHD_Connection *mhd; /* that of the connection */
	RequestState state;
	RouteId route;			/* NUM_ROUTES while unknown */
	const char *target;		/* of the request line, inside libmicrohttpd */
	const char *target_end; /* NULL if the target is malformed */
	Refusal refusal;
	const char *malformed; /* constant text: the reason for REFUSAL_MALFORMED */
	bool head_seen;
	bool head_only; /* HEAD: its reply has no body */
	HeadFraming framing;
	bool ndjson;
	Encoding encoding; /* of the body as it is sent */

	char *body; /* malloc'ed, with room for a NUL behind it */
	size_t len;
	size_t room;
	size_t discarded;			/* bytes of the body that were thrown away */
	Decompressor *decompressor; /* NULL before the first piece of a compressed body */
	size_t decompressor_size;

	/* of a request with events; its records are in the lane's ring from start to ticket */
	Lane lane;
	uint64 start;
	uint64 ticket;
	uint64 dead_lettered; /* the flusher's counter when the events were staged */
	int accepted;
	int rejected;
	char *errors; /* malloc'ed JSON: the members of "errors", or NULL */
	int nerrors;

	/* what a query worker answers, malloc'ed */
	char *answer;
	size_t answer_len;
	size_t answer_room;

	/* of an export, whose answer is one piece after the other */
	size_t answer_sent;
	int export;		   /* the number of its slot */
	bool stream_waits; /* suspended until ServerContinue() */

	/* moments (see clock.h); 0 if it has not come to that */
	int64 deadline; /* while it is WAITING */
	int64 began;
	int64 staged;
	int64 committed;
	uint64 received; /* bytes of the body as they were sent */

	char id[REQUEST_ID_SIZE]; /* "" until the head is complete */
	const char *method;		  /* constant text; NULL if it is not a known one */
	IpAddress client;		  /* all zeros until the head is complete */
	RequestAccess access;
	RequestLimit limit;
	Reply reply;
} Request;

/*
 * Read what the head says about the body, and remove the blanks behind the values of all
 * headers. Must be called before anything else looks at a header.
 */
extern void RequestReadFraming(Request *request);

/*
 * The value of a header, or of a parameter of the target; NULL if there is none. A parameter
 * without "=" has the value "".
 */
extern const char *RequestHeader(const Request *request, const char *name);
extern const char *RequestParameter(const Request *request, const char *name);

/*
 * Make a request; NULL if there is no memory. Free it with all that it owns; it must be on no
 * queue.
 */
extern Request *RequestCreate(struct Connection *connection, struct MHD_Connection *mhd);
extern void RequestFree(Request *request);

/*
 * Append to the body, decompressed. The request is refused, and its body thrown away as it
 * comes, if the body is longer than max_len bytes, the bodies of all requests together need
 * more than max_memory bytes, or the data is not of the request's encoding.
 */
extern void RequestAppend(Request *request, const char *data, size_t len, size_t max_len,
						  size_t max_memory);

/* All of the body was appended. The request is refused if a compressed body is incomplete. */
extern void RequestEndBody(Request *request);

/* Free the body: it is not needed any more. */
extern void RequestDropBody(Request *request);

/* Free what is not needed once there is a reply: the body and the errors of events. */
extern void RequestDropInput(Request *request);

/*
 * Allocate request->answer, which is freed with the request. False if there is no memory,
 * or if the answers of all requests together would need more than max_memory bytes.
 */
extern bool RequestReserveAnswer(Request *request, size_t size, size_t max_memory);

/*
 * The status of the reply to a request that has ended, 0 if there was none, and the bytes of
 * the reply's body. The reply may be libmicrohttpd's own.
 */
extern unsigned int RequestStatus(const Request *request);
extern size_t RequestReplyBytes(const Request *request);

/* How many requests there are. */
extern int RequestsOpen(void);

#endif
