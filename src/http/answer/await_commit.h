/*
 * await_commit.h
 *
 * Requests that wait until their events are committed.
 */
#ifndef FAST_INGEST_AWAIT_COMMIT_H
#define FAST_INGEST_AWAIT_COMMIT_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/* Prepare this process; called once. producers: one for each lane's ring. */
extern void AwaitCommitInit(Pair *pair, RingProducer *producers);

/* Let a request wait for the commit of its records, which were published. */
extern void AwaitCommit(Request *request);

/*
 * Answer the requests whose events are committed or refused, or that have waited too long, and
 * release their room in the rings. Returns how many were answered.
 */
extern int AwaitCommitAnswer(void);

/* Milliseconds until the first waiting request has waited too long, or -1. */
extern long AwaitCommitNextDeadline(void);

/* Answer all requests that wait with 503 and that reason. */
extern void AwaitCommitAbandon(const char *reason);

#endif
