/*
 * request.h
 *
 * Connections and requests as the listener sees them.
 *
 * libmicrohttpd calls back into server.c while it runs; what happens in such a
 * callback must not raise a PostgreSQL error, so it only collects: headers are
 * looked at, the body is appended to, and a complete request is suspended and
 * put on the ready queue. Everything else happens outside of libmicrohttpd.
 *
 * A request is RECEIVING, READY (on the ready queue), WAITING (on the waiting
 * queue until its events are committed, or with get_metrics.c until its question is
 * answered), and ANSWERED. It is suspended in the two states between.
 */
#ifndef FAST_INGEST_REQUEST_H
#define FAST_INGEST_REQUEST_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "event/parse.h"
#include "http/admit/api_key_check.h"
#include "http/server/decompress.h"
#include "http/server/head_check.h"
#include "http/admit/rate_limit_check.h"
#include "http/server/reply.h"
#include "http/request_log.h"
#include "http/server/tls.h"
#include "shared/shared_state.h"

struct MHD_Connection;
struct Request;

/* See tls_handshake.c. */
typedef enum
{
	HANDSHAKE_NONE, /* it is done, or there is none to do */
	HANDSHAKE_ACTIVE,
	HANDSHAKE_WAITING
} TlsHandshakeState;

typedef struct
{
	dlist_node node; /* of those that are idle or those that are not: see server.c */
	struct MHD_Connection *mhd;
	int fd;
	int64 since; /* opened, or a request began or ended */
	bool cut;	 /* shut down by us; libmicrohttpd will notice */
	bool served; /* it had a request before */
	struct Request *request;

	/* of TLS connections only */
	struct gnutls_session_int *session;
	TlsIdentity *identity;
	TlsHandshakeState handshake;
	dlist_node handshake_node;
} Connection;

typedef enum
{
	REQUEST_RECEIVING,
	REQUEST_READY,
	REQUEST_WAITING,
	REQUEST_ANSWERED
} RequestState;

/* Why a request is refused before its body is looked at. */
typedef enum
{
	REFUSAL_NONE,
	REFUSAL_MALFORMED,
	REFUSAL_PREFLIGHT, /* none: its answer is all in the head */
	REFUSAL_OPTIONS,   /* nor is this: OPTIONS of the server as a whole */
	REFUSAL_ORIGIN,
	REFUSAL_PARAMETERS,
	REFUSAL_NOT_FOUND,
	REFUSAL_METHOD,
	REFUSAL_ACCESS,
	REFUSAL_HEAD_TOO_LARGE,
	REFUSAL_CONTENT_TYPE,
	REFUSAL_CONTENT_ENCODING,
	REFUSAL_DAMAGED,
	REFUSAL_BODY_TOO_LARGE,
	REFUSAL_NO_MEMORY
} Refusal;

typedef enum
{
	ROUTE_EVENTS,
	ROUTE_BULK,
	ROUTE_EVENT,
	ROUTE_HEALTH,
	ROUTE_READY,
	ROUTE_METRICS,
	ROUTE_STATS,
	ROUTE_PROMETHEUS,
	ROUTE_OPENAPI,
	ROUTE_DOCS,
	NUM_ROUTES
} RouteId;

typedef struct
{
	const char *path;
	const char *method;
	const char *allow; /* for the answer to any other method */
} Route;

extern const Route Routes[NUM_ROUTES];

typedef struct Request
{
	dlist_node node; /* of the ready queue or one of those who wait */
	Connection *connection;
	RequestState state;
	RouteId route;			/* NUM_ROUTES while unknown */
	const char *target;		/* of the request line, inside libmicrohttpd */
	const char *target_end; /* NULL if it is malformed */
	Refusal refusal;
	const char *malformed; /* constant text: why, for REFUSAL_MALFORMED */
	bool head_seen;
	bool head_only; /* HEAD: its answer has no body */
	HeadFraming framing;
	bool ndjson;
	bool preflight;	   /* see cors.h */
	Encoding encoding; /* of the body as it comes */

	char *body; /* malloc'ed, with room for a NUL behind it */
	size_t len;
	size_t room;
	size_t discarded;
	Decompressor *decoder; /* NULL until the first piece of a compressed body comes */
	size_t decoder_size;

	/* while its events wait: its records are those of the lane's ring from start to ticket */
	Lane lane;
	uint64 start;
	uint64 ticket;
	uint64 dead_lettered; /* what the flusher's counter said before */
	int64 deadline;		  /* of any that waits */
	int accepted;
	int rejected;
	char *errors; /* malloc'ed JSON: the members of "errors", or NULL */
	int nerrors;

	/* a question's answer as it comes in from a query worker, malloc'ed */
	char *answer;
	size_t answer_len;
	size_t answer_room;

	/* when it came to that (see clock.h); 0 while it has not */
	int64 began;
	int64 staged;
	int64 committed;
	uint64 received; /* bytes of its body, as they came */

	ClientAddress client; /* where it comes from, once the head is there */
	Access access;
	RequestLimit limit;
	RequestLog log;
	Reply reply;
} Request;

/*
 * Take note of what the head says about the body and about the client, and take the blanks behind
 * the values of all headers away. To be called before any header is looked at. The method is ""
 * if it is not known.
 */
extern void RequestIdentify(Request *request, const char *method);

/*
 * The value of a header, or of a parameter of the target; NULL if it is not there. A parameter
 * without = has the value "".
 */
extern const char *RequestHeader(const Request *request, const char *name);
extern const char *RequestParameter(const Request *request, const char *name);

/*
 * Make and free requests; NULL without memory. Bodies of all requests together
 * stay below a limit.
 */
extern Request *RequestCreate(Connection *connection);
extern void RequestFree(Request *request);

/*
 * Append to the body, decompressed, up to max_len bytes and as long as all bodies
 * together have room; beyond that the request becomes a refused one and what comes
 * is thrown away.
 */
extern void RequestAppend(Request *request, const char *data, size_t len, size_t max_len,
						  size_t max_memory);

/* All of the body has come: the request is refused if that is not all of what it stands for. */
extern void RequestEndBody(Request *request);

/* Free the body: it is not needed any more. */
extern void RequestDropBody(Request *request);

/* Free what only the making of the reply needed. */
extern void RequestDropInput(Request *request);

/*
 * Make room for an answer; false without memory, of which the answers of all
 * requests together have a limit, too. It is freed with the request.
 */
extern bool RequestReserveAnswer(Request *request, size_t size, size_t max_memory);

/*
 * The status of the answer to a request that has ended, 0 if there was none, and the bytes
 * of its body. libmicrohttpd answers some by itself that are no requests in its eyes.
 */
extern unsigned int RequestStatus(const Request *request);
extern size_t RequestReplyBytes(const Request *request);

/* How many requests exist. */
extern int RequestCount(void);

#endif
