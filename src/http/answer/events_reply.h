/*
 * events_reply.h
 *
 * The replies to requests with events.
 */
#ifndef FAST_INGEST_EVENTS_REPLY_H
#define FAST_INGEST_EVENTS_REPLY_H

#include "lib/stringinfo.h"

#include "http/server/request.h"
#include "shared/types/ring.h"

/* How many errors a reply shows. Further ones are only counted. */
#define MAX_REPORTED_ERRORS 100

/*
 * Append error number n, counted from 0, to the members of "errors"; does nothing beyond
 * MAX_REPORTED_ERRORS. index is the event's position in the request, from 0.
 */
extern void EventsReplyAppendError(StringInfo errors, int n, int index, const char *message);

/* The reply to a bulk request of which no event is accepted. errors: the members of "errors". */
extern Reply EventsReplyRejected(int rejected, const char *errors);

/* The reply to a request whose accepted events are all stored. */
extern Reply EventsReplyAccepted(Request *request);

/*
 * The reply to a request whose records are committed, but of which the database may have
 * refused some. Counts the refused ones as rejected.
 */
extern Reply EventsReplyRefused(Request *request, Ring *ring);

#endif
