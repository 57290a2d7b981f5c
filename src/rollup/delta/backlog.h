/*
 * backlog.h
 *
 * How much waits for a refresh: the number of events, of the deltas that hold them, and since
 * when the oldest delta waits. It is in shared memory. A transaction changes it when it commits
 * or is prepared.
 */
#ifndef FAST_INGEST_BACKLOG_H
#define FAST_INGEST_BACKLOG_H

/*
 * Add a delta of so many events. The commit with which there are too many wakes the
 * maintenance worker. Does nothing without shared memory.
 */
extern void BacklogAdd(int64 events);

/*
 * Note that this transaction's refresh merges what waits at this moment. Does nothing without
 * shared memory.
 */
extern void BacklogClaim(void);

/*
 * Are there too many events or deltas, or does one wait too long? False if
 * fast_ingest.refresh_backlog is 0. Needs shared memory.
 */
extern bool BacklogIsLong(void);

#endif
