/*
 * events_reply.h
 *
 * What an ingestion request is told about its events.
 */
#ifndef FAST_INGEST_EVENTS_REPLY_H
#define FAST_INGEST_EVENTS_REPLY_H

#include "lib/stringinfo.h"

#include "http/server/request.h"
#include "shared/ring.h"

/* Errors beyond these are counted and not shown. */
#define MAX_REPORTED_ERRORS 100

/* Add the n-th entry to the members of "errors", unless it is one too many. */
extern void EventsReplyAppendError(StringInfo errors, int n, int index, const char *message);

/* The reply for a bulk request none of whose events are accepted. */
extern Reply EventsReplyRejected(int rejected, const char *errors);

/* The reply for a request whose accepted events are safe. */
extern Reply EventsReplyAccepted(Request *request);

/*
 * The reply for a request whose records, committed by now, may hold refused
 * ones.
 */
extern Reply EventsReplyRefused(Request *request, Ring *ring);

#endif
