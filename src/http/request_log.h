/*
 * request_log.h
 *
 * The ids of requests, and the log of them: one line for each that
 * fast_ingest.log_requests is about, once it has ended.
 *
 * A line is name=value, in the same order always; a value holds no space, quote or
 * equals sign, and - is none. Of what clients send it has the request's id and nothing
 * else: no path or parameter, no key, no message of an error, as these quote what was
 * sent.
 */
#ifndef FAST_INGEST_REQUEST_LOG_H
#define FAST_INGEST_REQUEST_LOG_H

#include <stdbool.h>

struct Request;
struct MHD_Response;

#define REQUEST_ID_HEADER "X-Request-Id"

/* A request's id, and a NUL. */
#define REQUEST_ID_SIZE 129

/* What is known of a request; part of it, and zero at its begin. */
typedef struct
{
	char id[REQUEST_ID_SIZE]; /* "" until the head is there */
	const char *method;		  /* constant text; NULL if it is none that is known */
} RequestLog;

/* Prepare this process; called once. */
extern void RequestLogInit(void);

/*
 * Take the request's id from its header X-Request-Id, or make one where that is missing
 * or not fit for a log; then tell the client. May be called inside libmicrohttpd.
 */
extern void RequestLogHead(struct Request *request, const char *method);
extern void RequestLogAddHeader(struct Request *request, struct MHD_Response *response);

/* The id of a request whatever has come of it, to be told by hand. */
extern const char *RequestLogId(struct Request *request);

/*
 * The request has ended, and its client was sent the answer, or not. Keeps its line for
 * RequestLogWrite, if it is to have one. May be called inside libmicrohttpd.
 */
extern void RequestLogEnd(struct Request *request, bool sent);

/* Write the lines into the server's log. Not to be called inside libmicrohttpd. */
extern void RequestLogWrite(void);

#endif
