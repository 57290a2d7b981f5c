/*
 * disk_limit.h
 *
 * How much WAL a stream's slot holds back, and how far the stream is behind. A stream may hold
 * max_retained_wal; then it is lost, rather than the disk full.
 */
#ifndef FAST_INGEST_DISK_LIMIT_H
#define FAST_INGEST_DISK_LIMIT_H

#include "stream/run/stream_run.h"

/*
 * Publish how far the stream is behind. Warn at half of the limit; drop the slot at the limit,
 * and record the stream as lost. To be called often, while the slot is held.
 */
extern void DiskLimitWatch(StreamRun *run);

/* Publish how far the stream is behind, as it also does. For the end of a batch. */
extern void DiskLimitPublishLag(StreamRun *run);

#endif
