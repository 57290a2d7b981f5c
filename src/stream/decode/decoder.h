/*
 * decoder.h
 *
 * Logical decoding in a background worker: the replication slot of a stream, and the reader
 * that fills the spool from WAL. The output plugin is in this library and refuses to run
 * outside of a stream worker.
 */
#ifndef FAST_INGEST_DECODER_H
#define FAST_INGEST_DECODER_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "stream/decode/spool.h"
#include "stream/stream.h"

/* What a slot is found to be, by name. */
typedef enum
{
	SLOT_MISSING,
	SLOT_INVALID, /* its WAL is gone: see reason */
	SLOT_USABLE
} SlotCondition;

typedef struct
{
	SlotCondition condition;
	XLogRecPtr confirmed; /* what it has confirmed */
	XLogRecPtr restart;	  /* from where it keeps WAL */
	char reason[128];
} SlotLook;

extern void SlotLookAt(const char *slot_name, SlotLook *look);

/*
 * Make a slot and wait until it is consistent, which takes until all transactions of now have
 * ended. wait(arg, xid) is called now and then with the oldest of them, outside any
 * transaction; false gives up, and the slot is dropped. Returns the position from which on
 * everything is decoded, or InvalidXLogRecPtr if given up. The slot is persistent, is released,
 * and since PostgreSQL 17 is a failover slot.
 */
typedef bool (*SlotWait)(void *arg, TransactionId oldest);
extern XLogRecPtr SlotCreate(const char *slot_name, SlotWait wait, void *arg);

/* Drop a slot that no process holds; nothing if there is none. */
extern void SlotDropByName(const char *slot_name);

/*
 * Drop slots of our plugin, of this database, held by nobody, whose names are not among those
 * n: what DROP EXTENSION and crashes leave. Returns how many.
 */
extern int SlotSweep(const char *const *wanted, int n);

/*
 * Should a row be streamed? Called inside decoding callbacks: no SQL, no catalogs. xid is
 * that of the (sub)transaction that wrote the row: its xmin.
 */
typedef bool (*DecoderWants)(void *arg, const StreamEvent *event, TransactionId xid);
typedef void (*DecoderEncode)(void *arg, const StreamEvent *event, StringInfo line);

typedef struct
{
	const char *slot_name;
	uint64 done_lsn; /* rows up to this position are not spooled again */
	uint64 done_n;
	DecoderWants wants;
	DecoderEncode encode;
	void *arg;
	pg_atomic_uint64 *ignored_changes; /* counts UPDATE and DELETE */
} DecoderConfig;

typedef struct Decoder Decoder;

/*
 * Acquire the slot and make the decoding context, inside a short transaction of its own. The
 * slot stays acquired, also while the stream is paused, until DecoderClose() or the end of the
 * process. An ERROR if the slot is missing, invalid or held by another process.
 */
extern Decoder *DecoderOpen(const DecoderConfig *config, Spool *spool);

/*
 * Read flushed WAL until its end, until the spool has more than spool_limit bytes (checked
 * between transactions), or for about so many milliseconds. True: the end was reached.
 * Outside any transaction.
 */
extern bool DecoderRead(Decoder *decoder, int64 spool_limit, long milliseconds);

/* Up to where WAL was read: the next record begins here. */
extern XLogRecPtr DecoderPosition(const Decoder *decoder);

/* From where the slot keeps WAL now. */
extern XLogRecPtr DecoderRestartPosition(const Decoder *decoder);

/* Does the slot keep at least so many bytes, some of which it could let go of if told? */
extern bool DecoderCanRelease(const Decoder *decoder, int64 bytes);

/*
 * Bytes of temporary files of transactions that are too large for logical_decoding_work_mem.
 * Lists a folder, so not for every event.
 */
extern int64 DecoderSpillBytes(const Decoder *decoder);

/*
 * Do the standbys of synchronized_standby_slots have WAL up to lsn (PostgreSQL 17 and later)? If
 * not, the server's log says which does not.
 */
extern bool DecoderStandbysHave(Decoder *decoder, XLogRecPtr lsn);

/* Has such a standby been waited for, for a second or longer? */
extern bool DecoderWaitsForStandby(const Decoder *decoder);

/* Confirm: everything before lsn is the target's. It must have been made durable before. */
extern void DecoderConfirm(Decoder *decoder, XLogRecPtr lsn);

/* Release the slot, or drop it with drop. */
extern void DecoderClose(Decoder *decoder, bool drop);

/* The end of flushed WAL, and the timeline. */
extern XLogRecPtr WalFlushPosition(uint32 *timeline);

/* Set the timelines of a stream, in the current memory context. */
extern void WalTimelines(Stream *stream);

/* True in a stream worker between DecoderOpen() and DecoderClose(): the plugin asks it. */
extern bool DecoderIsOurs(void);

#endif
