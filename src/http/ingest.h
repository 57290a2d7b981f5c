/*
 * ingest.h
 *
 * The three routes that take events.
 */
#ifndef FAST_INGEST_INGEST_H
#define FAST_INGEST_INGEST_H

#include "http/request.h"
#include "stage/control.h"

/* Why there is no ingestion while the server is in recovery. */
#define STANDBY_MESSAGE "the server is a standby: it takes no events before it is promoted"

/* Prepare this process to stage events of a pair, in a ring for each lane; called once. */
extern void IngestInit(Pair *pair, Ring **rings);

/* Read the settings that rules are made of; called at start and after each reload. */
extern void IngestReadSettings(void);

/*
 * Take a complete request: answer it, or stage its events and let it wait.
 * Returns true when something was staged.
 */
extern bool IngestRequest(Request *request);

/* Take no more events, because of that reason. */
extern void IngestClose(const char *reason);

#endif
