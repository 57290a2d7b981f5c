/*
 * http_post.h
 *
 * One HTTP request at a time to another system, over libcurl's multi interface. Knows
 * nothing of streams. Never called inside a transaction of a worker.
 *
 * While it waits it serves interrupts by the caller's function at least each 100 ms, so that a
 * shutdown ends it. No redirects are followed, no proxy of the environment is used, each
 * request has a connection of its own, and nothing of a secret gets into a message.
 */
#ifndef FAST_INGEST_HTTP_POST_H
#define FAST_INGEST_HTTP_POST_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "stream/stream.h"
#include "stream/wire/wire_message.h"

/* Bytes of an answer's body that are kept unless a request says otherwise; the rest is dropped. */
#define WIRE_BODY_LIMIT (64 * 1024)

/* Where requests go, and as who. Copied by WireOpen(). */
typedef struct
{
	const char *url;	 /* http or https; may have a path and a query, no user and password */
	const char *ca_file; /* see Stream */
	const char *cert_file;
	const char *key_file;
	long connect_timeout; /* ms */
	long timeout;		  /* ms, of the whole request */
} WireConfig;

typedef struct Wire Wire;

typedef struct
{
	const char *query;			/* appended to the URL behind ? or &, already escaped; NULL: none */
	const char *path;			/* appended to the URL's path; NULL: none */
	const char *const *headers; /* "Name: value", NULL behind the last one */
	const char *username;		/* HTTP Basic; NULL: none */
	const char *password;
	const char *body;
	size_t body_len;
	StreamCompression compression; /* of the body; the wire compresses it */
	size_t answer_limit; /* bytes of the answer's body that are kept; 0: WIRE_BODY_LIMIT */
	bool chunked;		 /* Transfer-Encoding: chunked in place of Content-Length */
} WireRequest;

typedef enum
{
	WIRE_ANSWERED, /* there is a whole answer: status, headers, body */
	WIRE_NOT_SENT, /* the request had no effect: no connection, TLS failed before the request */
	WIRE_IN_DOUBT, /* it was sent, at least in part, and no whole answer came */
	WIRE_ABANDONED /* the caller's function said so; in doubt, too */
} WireOutcome;

typedef struct
{
	WireOutcome outcome;
	int status;						 /* HTTP's; 0 without an answer */
	StringInfoData body;			 /* NUL-terminated; what was kept of it */
	StringInfoData headers;			 /* as received: "Name: value\r\n" lines */
	long retry_after;				 /* ms, from the header of this name; 0: none */
	size_t bytes_sent;				 /* of the body, compressed */
	char message[WIRE_MESSAGE_SIZE]; /* what went wrong; "" if there is an answer */
} WireReply;

/* False: give up the request. Called while it waits; may raise an ERROR, which ends the request. */
typedef bool (*WireGoOn)(void *arg);

/* Open and close. An ERROR if the URL is not one, or a file cannot be read. */
extern Wire *WireOpen(const WireConfig *config);
extern void WireClose(Wire *wire);

/* POST. The reply is allocated in the current memory context. */
extern void WirePost(Wire *wire, const WireRequest *request, WireGoOn go_on, void *arg,
					 WireReply *reply);

/* Find a header of a reply, whatever the case of its name; data NULL if there is none. */
extern Slice WireHeader(const WireReply *reply, const char *name);

#endif
