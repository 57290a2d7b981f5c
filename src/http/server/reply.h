/*
 * reply.h
 *
 * The replies that are sent to clients.
 */
#ifndef FAST_INGEST_REPLY_H
#define FAST_INGEST_REPLY_H

#include <stdbool.h>
#include <stddef.h>

struct gnutls_session_int;

#define RETRY_AFTER_SECONDS "1"
#define REQUEST_ID_HEADER "X-Request-Id"

typedef struct
{
	unsigned int status; /* 0 while there is no reply */
	const char *body;
	size_t len;
	const char *type;		 /* Content-Type, constant text; NULL: JSON */
	bool owned;				 /* body is malloc'ed and belongs to the reply */
	bool close;				 /* the connection ends with this reply */
	const char *allow;		 /* for 405: constant text */
	const char *next_cursor; /* lives as long as the request; NULL or "": none */
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
