/*
 * reply.h
 *
 * The replies that are sent to clients.
 */
#ifndef FAST_INGEST_REPLY_H
#define FAST_INGEST_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct MHD_Response;
struct Request;
struct gnutls_session_int;

#define RETRY_AFTER_SECONDS "1"
#define REQUEST_ID_HEADER "X-Request-Id"

/* What a stream has instead of bytes. */
#define STREAM_WAITS 0 /* nothing now: the request is suspended until ServerContinue() */
#define STREAM_ENDS (-1)
#define STREAM_BREAKS \
	(-2) /* the connection is closed; the client sees that the body is incomplete */

/*
 * A body that is made while it is sent, of any length. Both functions are called inside
 * libmicrohttpd: they must not raise an error, nor allocate memory with palloc.
 */
typedef struct
{
	/* Copy the next bytes, at most size; returns how many, or one of the above. */
	long (*read)(struct Request *request, char *buffer, size_t size);

	/* The request has ended, whether all was sent or not. */
	void (*end)(struct Request *request);
} ReplyStream;

typedef struct
{
	const char *name;
	const char *value;
} ReplyHeader;

typedef struct
{
	unsigned int status; /* 0 while there is no reply */
	const char *body;
	size_t len;					/* of a stream: what was sent of it so far */
	const ReplyStream *stream;	/* NULL: the body is body */
	const char *type;			/* Content-Type, constant text; NULL: JSON */
	bool owned;					/* body is malloc'ed and belongs to the reply */
	bool close;					/* the connection ends with this reply */
	const char *encoding;		/* Content-Encoding, constant text; NULL: none */
	const ReplyHeader *headers; /* constant, the last one without a name; NULL: none */
	const char *allow;			/* for 405: constant text */
	const char *next_cursor;	/* lives as long as the request; NULL or "": none */
} Reply;

/* A reply with a constant body in JSON. */
extern Reply ReplyConstant(unsigned int status, const char *body);

/*
 * The functions below must not be called inside libmicrohttpd. If there is no memory for the
 * reply, they return one with status 503.
 *
 * A reply whose body is a copy of the text, which is JSON unless the caller sets the type.
 */
extern Reply ReplyText(unsigned int status, const char *body, size_t len);

/* A reply with a JSON object whose last member is a text: see AppendMessageJson. */
extern Reply ReplyMessage(unsigned int status, const char *begin, const char *text);

/*
 * A reply {"error": "..."}. The message may hold anything; it is escaped, and cut after 1023
 * bytes.
 */
extern Reply ReplyError(unsigned int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The response of a reply with the headers that belong to it; NULL if there is no memory. It owns
 * the body from then on. A stream is read by a callback of libmicrohttpd.
 */
typedef ssize_t (*ReplyReader)(void *arg, uint64_t position, char *buffer, size_t size);
extern struct MHD_Response *ReplyResponse(Reply *reply, ReplyReader reader, void *arg);

/* Free what a reply owns. */
extern void ReplyFree(Reply *reply);

/*
 * Write a complete error reply to a socket and shut the connection down. This is for
 * moments at which libmicrohttpd offers no way to reply: outside of a request, and in the
 * middle of one. message must need no escaping in JSON. session belongs to a TLS
 * connection whose handshake is done; NULL for plain HTTP. id is the request's, or NULL.
 * Never waits; a client that cannot take the reply at once does not get it.
 */
extern void ReplyAndCut(int fd, struct gnutls_session_int *session, unsigned int status,
						const char *message, const char *id);

#endif
