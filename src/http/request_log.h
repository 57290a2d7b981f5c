/*
 * request_log.h
 *
 * The log of requests: one line for each request that fast_ingest.log_requests selects, when
 * it has ended.
 *
 * A line consists of name=value, always in the same order. A value holds no space, quote or
 * equals sign; "-" stands for no value. The request's id is all that a line shows of what the
 * client sent: there is no path, parameter, key, or error message, which could quote it.
 */
#ifndef FAST_INGEST_REQUEST_LOG_H
#define FAST_INGEST_REQUEST_LOG_H

#include "http/server/request.h"

/*
 * Make the line of a request that has ended, if it is to have one; sent: its client was sent all
 * of the reply. May be called inside libmicrohttpd. Without memory the line is only counted.
 */
extern void RequestLogAdd(Request *request, bool sent);

/* Write the lines to the server's log. Not to be called inside libmicrohttpd. */
extern void RequestLogWrite(void);

#endif
