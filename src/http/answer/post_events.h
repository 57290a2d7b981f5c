/*
 * post_events.h
 *
 * The three routes that take events.
 */
#ifndef FAST_INGEST_POST_EVENTS_H
#define FAST_INGEST_POST_EVENTS_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Why there is no ingestion while the server is in recovery. */
#define STANDBY_MESSAGE "the server is a standby: it takes no events before it is promoted"

/* Prepare this process to stage events of a pair, in a ring for each lane; called once. */
extern void PostEventsInit(Pair *pair, Ring **rings);

/* Read the settings that rules are made of; called at start and after each reload. */
extern void PostEventsReadSettings(void);

/*
 * Take a complete request: answer it, or stage its events and let it wait.
 * Returns true when something was staged.
 */
extern bool PostEventsRequest(Request *request);

/* Take no more events, because of that reason. */
extern void PostEventsClose(const char *reason);

#endif
