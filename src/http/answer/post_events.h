/*
 * post_events.h
 *
 * The three routes that take events: POST /events, /events/bulk and /event.
 */
#ifndef FAST_INGEST_POST_EVENTS_H
#define FAST_INGEST_POST_EVENTS_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Why no events are taken while the server is in recovery. */
#define STANDBY_MESSAGE "the server is a standby: it takes no events before it is promoted"

/* Prepare the listener of that pair, with its ring for each lane; called once. */
extern void PostEventsInit(Pair *pair, Ring **rings);

/* Read the settings that the rules for events come from; called after each reload. */
extern void PostEventsReadSettings(void);

/*
 * Take a complete request: answer it, or stage its events and let it wait for their commit.
 * Returns true if events were staged. After an ERROR none are staged, and the caller must
 * answer the request.
 */
extern bool PostEventsHandle(Request *request);

/* Answer all requests that come from now on with 503 and that reason. */
extern void PostEventsClose(const char *reason);

#endif
