/*
 * disk_limit.c
 *
 * Looking at what a stream holds back.
 */
#include "postgres.h"

#include "stream/run/disk_limit.h"

#include "access/xlog.h"

#include "base/clock.h"

#define LOOK_TIME 1000 /* ms between two looks at the disk, which list a folder */

void
DiskLimitPublishLag(StreamRun *run)
{
	const Flight *flight = &run->flight;
	bool is_live = flight->is_open && flight->kind == FLIGHT_BATCH;
	uint32 timeline;
	XLogRecPtr end = WalFlushPosition(&timeline);
	XLogRecPtr sent = Max(run->acked_whole, run->progress.confirmed);
	int64 events = SpoolRows(run->spool) + (is_live ? flight->nrows - flight->done : 0);
	TimestampTz oldest = is_live ? flight->first_committed : SpoolOldest(run->spool);

	if (events == 0 && !run->recovering)
		sent = Max(sent, DecoderPosition(run->decoder));
	pg_atomic_write_u64(&run->slot->lag_events, (uint64) events);
	pg_atomic_write_u64(&run->slot->lag_bytes, end > sent ? end - sent : 0);
	pg_atomic_write_u64(&run->slot->sent_lsn, sent);
	pg_atomic_write_u64(&run->slot->oldest_unsent, (uint64) oldest);
	pg_atomic_write_u64(&run->slot->backfill_left, (uint64) BackfillsLeft(run->backfills));
}

void
DiskLimitWatch(StreamRun *run)
{
	int64 limit = run->stream.max_retained_wal;
	XLogRecPtr end;
	XLogRecPtr restart;
	int64 retained;

	if (MonotonicNow() < MonotonicAfter(run->disk_checked, LOOK_TIME))
		return;
	run->disk_checked = MonotonicNow();
	DiskLimitPublishLag(run);

	end = GetXLogInsertRecPtr();
	restart = DecoderRestartPosition(run->decoder);
	retained = (restart != InvalidXLogRecPtr && end > restart ? (int64) (end - restart) : 0) +
			   SpoolFileBytes(run->spool) + DecoderSpillBytes(run->decoder);
	pg_atomic_write_u64(&run->slot->retained_bytes, (uint64) retained);
	pg_atomic_write_u64(&run->slot->retained_limit, (uint64) limit);
	if (retained >= limit)
	{
		char reason[WORKER_ERROR_SIZE];

		snprintf(reason, sizeof(reason),
				 "it held back " INT64_FORMAT " bytes of WAL and temporary files, and its "
				 "max_retained_wal is " INT64_FORMAT " bytes",
				 retained, limit);
		StreamRunLose(run, reason);
		pg_atomic_write_u64(&run->slot->retained_bytes, 0);
		return;
	}
	if (retained < limit / 2)
		run->disk_warned = false;
	else if (!run->disk_warned)
	{
		run->disk_warned = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("stream \"%s\" holds back " INT64_FORMAT " bytes of WAL and temporary "
						"files",
						run->stream.name, retained),
				 errdetail("At " INT64_FORMAT " bytes, its max_retained_wal, its replication slot "
						   "is dropped and the stream is lost.",
						   limit),
				 errhint("fi_streams() says what the stream waits for.")));
	}
}
