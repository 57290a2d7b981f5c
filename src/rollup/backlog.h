/*
 * backlog.h
 *
 * Control->backlog, the number of events that wait for a refresh, as far as this
 * transaction changes it. It changes when the transaction commits, or is
 * prepared.
 */
#ifndef FAST_INGEST_BACKLOG_H
#define FAST_INGEST_BACKLOG_H

/* Events were inserted. The worker is woken at the commit that makes them too many. */
extern void BacklogAdd(int64 events);

/* A refresh begins, which will merge what waits now. */
extern void BacklogClaim(void);

#endif
