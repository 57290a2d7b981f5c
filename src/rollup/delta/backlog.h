/*
 * backlog.h
 *
 * What waits for a refresh, in shared memory: events, the deltas that hold them, and
 * since when the oldest of these waits. A transaction changes it when it commits, or
 * is prepared.
 */
#ifndef FAST_INGEST_BACKLOG_H
#define FAST_INGEST_BACKLOG_H

/*
 * A delta of so many events was inserted. The worker is woken at the commit that makes
 * them too many.
 */
extern void BacklogAdd(int64 events);

/* A refresh begins, which will merge what waits now. */
extern void BacklogClaim(void);

/* Are there too many events or deltas, or does one wait too long? */
extern bool BacklogIsLong(void);

#endif
