/*
 * reply.h
 *
 * The one way in which answers are made.
 */
#ifndef FAST_INGEST_REPLY_H
#define FAST_INGEST_REPLY_H

#include <stdbool.h>
#include <stddef.h>

struct gnutls_session_int;

#define RETRY_AFTER_SECONDS "1"

typedef struct
{
	unsigned int status; /* 0 while there is no reply */
	const char *body;
	size_t len;
	const char *type;		 /* Content-Type, constant text; NULL is JSON */
	bool owned;				 /* body is malloc'ed and belongs to the reply */
	bool close;				 /* the connection ends with this reply */
	const char *allow;		 /* for 405: constant text */
	const char *next_cursor; /* NULL or "": none; lives as long as the request */
} Reply;

/* A reply with a constant body. */
extern Reply ReplyConstant(unsigned int status, const char *body);

/* A reply whose body is copied. Not to be called inside libmicrohttpd. */
extern Reply ReplyText(unsigned int status, const char *body, size_t len);

/*
 * A JSON object whose last member is a text: begin is what comes before it, from the brace to
 * the colon. The text may hold anything; it is escaped. Not to be called inside libmicrohttpd.
 */
extern Reply ReplyMessage(unsigned int status, const char *begin, const char *text);

/*
 * {"error": "..."}. The message may hold anything; it is escaped. Not to be
 * called inside libmicrohttpd.
 */
extern Reply ReplyError(unsigned int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Free what a reply owns. */
extern void ReplyFree(Reply *reply);

/*
 * Write a complete error answer to a socket by hand and end the connection:
 * for when libmicrohttpd offers no way to answer, that is outside of a request
 * or in the midst of its body. message must need no escaping. session is that of a
 * TLS connection whose handshake is done, NULL for plain HTTP; id is that of a request, or NULL.
 */
extern void ReplyAndCut(int fd, struct gnutls_session_int *session, unsigned int status,
						const char *message, const char *id);

#endif
