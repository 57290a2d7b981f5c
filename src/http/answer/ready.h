/*
 * ready.h
 *
 * GET /ready: would a request that is sent now succeed?
 */
#ifndef FAST_INGEST_READY_H
#define FAST_INGEST_READY_H

#include "http/server/request.h"
#include "shared/shared_state.h"

/*
 * Answer a request that asks whether this listener's pair is ready. A parameter for=... with a
 * value other than read or write is answered with 400.
 */
extern void ReadyHandle(Request *request, Pair *pair, Ring **rings);

/* May a worker be asked, now or in a moment? */
extern bool ReadyWorker(WorkerSlot *worker);

/*
 * The reply to a request that needs a worker which is not ready: 503 with the worker's reason.
 * what is the worker's name for the message.
 */
extern Reply ReadyRefusal(const char *what, WorkerSlot *worker);

#endif
