/*
 * backfill.h
 *
 * Events that are read from the table rather than from WAL: what was there before the stream,
 * what fi_resend_stream() asks for, what is missing after a stream was lost.
 *
 * A backfill is a row of fast_ingest.stream_backfills: a time range [since, until) of ts, and
 * a cut, a transaction id. A row of the range belongs to the backfill if its xmin is before the
 * cut, else to the live stream. When the cut is taken (the next xid at that time) nothing is
 * in flight, the position of the live stream is durable, and what is in the spool is thrown
 * away and decoded again with the new rule. So each row is sent by exactly one side. The
 * backfill begins to read when no transaction before the cut runs any more.
 *
 * One backfill is read at a time, in the order of their ids. A backfill may ask that the target
 * first removes the range. That happens right after the cut, before anything else is posted:
 * what the live stream sent before is sent again by the backfill, what it sends later stays. The
 * cut of such a backfill is taken when those before it are done.
 *
 * Position: partition by partition, in each by tid, kept in
 * fast_ingest.stream_backfill_partitions.
 *
 * How the worker uses it, in this order, whenever no batch is in flight or in doubt:
 *
 *   BackfillsCutIsDue: note the last batch as done; BackfillsTakeCut in a transaction;
 *     BackfillsRead again; SpoolReset, and decode again from the slot.
 *   BackfillsToClear: sink->clear until DONE, posting nothing else; BackfillsNoteCleared.
 *   Then in turns: a live batch; a chunk by BackfillReadChunk; dead letters (retry.h).
 *   BackfillsPrune now and then, with the position that the slot has confirmed.
 */
#ifndef FAST_INGEST_BACKFILL_H
#define FAST_INGEST_BACKFILL_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "stream/sink/sink.h"
#include "stream/stream.h"

typedef struct Backfills Backfills;

/*
 * Read the stream's backfills, into a memory context of their own. In a transaction, connected
 * to SPI. Again after a command, and after BackfillsTakeCut().
 */
extern Backfills *BackfillsRead(const Stream *stream);
extern void BackfillsFree(Backfills *backfills);

/*
 * Is a row that was decoded from WAL one that a backfill sends? For DecoderWants: no SQL, no
 * catalogs.
 */
extern bool BackfillsOwn(const Backfills *backfills, const StreamEvent *event, TransactionId xid);

/* Is there anything to send, or to clear, or a cut to take? Then call BackfillReadChunk(). */
extern bool BackfillsOpen(const Backfills *backfills);

/*
 * Does a backfill wait for its cut? Then the worker lets the batch in flight come to its end,
 * begins no other, and takes the cut.
 */
extern bool BackfillsCutIsDue(const Backfills *backfills);

/* Take the cut. In a transaction, connected to SPI. */
extern void BackfillsTakeCut(Backfills *backfills);

/* Is there a range that the target must remove before anything else is posted? */
extern bool BackfillsToClear(const Backfills *backfills, TimestampTz *since, TimestampTz *until);

/* Note that it has. In a transaction, connected to SPI. */
extern void BackfillsNoteCleared(Backfills *backfills);

/* What stands in the way of the next chunk, such as an old transaction; "" if nothing does. */
extern const char *BackfillsObstacle(Backfills *backfills);

/* Estimated events that are to be sent. */
extern int64 BackfillsLeft(const Backfills *backfills);

/*
 * Forget backfills that are done and whose transactions the live stream cannot meet again,
 * since the slot has confirmed lsn. In a transaction, connected to SPI. True if there were any.
 */
extern bool BackfillsPrune(Backfills *backfills, XLogRecPtr lsn);

/* Would BackfillsPrune() find any? Costs nothing. */
extern bool BackfillsPrunable(const Backfills *backfills, XLogRecPtr lsn);

/* A chunk: the rows of a partition behind one tid and up to another. */
typedef struct
{
	int64 backfill; /* stream_backfills.id; also the lsn of its events */
	Oid partition;
	ItemPointerData from; /* exclusive; (0,0) is the start */
	ItemPointerData upto; /* inclusive */
	bool ends_partition;  /* there are no more behind it */
	SinkRow *rows;
	int nrows;
	size_t bytes;
} BackfillChunk;

/*
 * Read the next chunk of at most batch_rows rows and batch_bytes bytes, but at least one row,
 * encoded by the sink, in the current memory context. Rows that do not pass the filters are
 * left out, so nrows may be 0: then there is nothing to post, only to note. False if there is
 * none at present: something stands in the way (see BackfillsObstacle; asking again costs
 * nothing for half a second), or a step of preparation was done, and another may be due at once.
 * begun != NULL reads from begun->from to begun->upto of begun->partition: a chunk that was
 * begun before a restart. It may have fewer rows than then, or none if the partition is gone.
 * Runs a transaction of its own; raises an ERROR outside of it.
 *
 * To halve a chunk: its parts have the same backfill and partition; a part begins behind the
 * last row of the one before and goes up to its own last row (BackfillTid(row->n)). The last
 * part has upto and ends_partition of the whole.
 */
extern bool BackfillReadChunk(Backfills *backfills, const Stream *stream, Sink *sink,
							  const BackfillChunk *begun, BackfillChunk *chunk);

/* Note a chunk as sent. In the transaction that notes the progress, connected to SPI. */
extern void BackfillNoteChunk(Backfills *backfills, const BackfillChunk *chunk);

/*
 * The position of a row of a backfill: lsn is the number of the backfill, n has in its upper
 * 16 bits the number of the partition in the backfill, then block and item.
 */
static inline uint64
BackfillPosition(int number, const ItemPointerData *tid)
{
	return (uint64) (number & 0x7fff) << 48 | (uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16 |
		   ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline ItemPointerData
BackfillTid(uint64 n)
{
	ItemPointerData tid;

	ItemPointerSet(&tid, (BlockNumber) (n >> 16), (OffsetNumber) n);
	return tid;
}

/*
 * Ask for a backfill of [since, until). clear: of a target that can remove events, which then
 * does. In a transaction, connected to SPI; wake the worker after the commit.
 */
extern void BackfillAdd(const Stream *stream, TimestampTz since, TimestampTz until, bool clear);

/*
 * Ask for a backfill of what may be missing after the stream was lost; before its row of
 * stream_progress is changed. As above. A target that can remove events gets all events of
 * the UTC days that have any of them, others get those of the transactions since unsent_xid. If
 * there is no row of stream_progress, all events may be missing.
 */
extern void BackfillAddRefill(const Stream *stream);

#endif
