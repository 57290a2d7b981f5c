/*
 * export_requests.h
 *
 * GET /export. A query worker makes the answer piece by piece, and the listener sends it as a
 * stream: it takes the next piece when libmicrohttpd has handed the last one over, and the worker
 * waits meanwhile. So neither keeps more than one piece.
 *
 * How many exports run at a time is limited by the workers, all listeners together: one less than
 * fast_ingest.query_workers, so that a worker is left that only answers questions, but at least
 * one. A worker with an export also answers questions, between two pieces.
 */
#ifndef FAST_INGEST_EXPORT_REQUESTS_H
#define FAST_INGEST_EXPORT_REQUESTS_H

#include "http/server/request.h"

/* Prepare the listener; called once. */
extern void ExportRequestsInit(void);

/*
 * Take a complete request and let it wait for a worker. It is answered at once if its parameters
 * are wrong, too long or need too much memory, or if too many requests wait.
 */
extern void ExportRequestsHandle(Request *request);

/* Begin and continue the streams for which a worker has something, and ask workers that are free.
 */
extern void ExportRequestsProcess(void);

/* Milliseconds until ExportRequestsProcess has something to do without being woken, or -1. */
extern long ExportRequestsNextDeadline(void);

/*
 * Break off all streams. Answer all requests that wait, and all that come from now on, with 503
 * and that reason.
 */
extern void ExportRequestsClose(const char *reason);

#endif
