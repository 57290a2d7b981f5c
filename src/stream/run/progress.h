/*
 * progress.h
 *
 * How far a stream has come: its row of fast_ingest.stream_progress, and a copy of it in
 * memory. What is written here is durable before anything that depends on it happens: a batch
 * is posted after its intent is, and the slot confirms a position after it is.
 */
#ifndef FAST_INGEST_PROGRESS_H
#define FAST_INGEST_PROGRESS_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/elog.h"

#include "base/sha256.h"
#include "shared/stream_slot.h"
#include "stream/backfill/backfill.h"

/* Room for the id of a batch, with its NUL: "fi-EPOCH-TIMELINE-NUMBER". */
#define BATCH_ID_SIZE 64

/* The batch that was begun last and is not known to be done. */
typedef struct
{
	char id[BATCH_ID_SIZE]; /* "": there is none */
	uint64 lsn;				/* of its last row; 0 for a chunk of a backfill */
	uint64 n;
	int32 rows;
	Sha256Digest hash; /* of its rows */
	int64 backfill;	   /* stream_backfills.id; 0: not of a backfill */
	Oid partition;
	ItemPointerData from;
} Intent;

typedef struct
{
	bool exists;
	char epoch[32];
	char slot_name[NAMEDATALEN];
	bool started; /* start_lsn is known: the slot was made */
	uint64 done_lsn;
	uint64 done_n;
	TimestampTz done_at; /* 0: never */
	XLogRecPtr confirmed;
	uint64 unsent_xid;
	int64 batch;
	Intent intent;
	bool lost;
	char lost_reason[WORKER_ERROR_SIZE];

	/* A position of WAL, and a transaction: those before it had ended then. 0: none. */
	XLogRecPtr sample_lsn;
	uint64 sample_xid;
} Progress;

/* An event that the target refuses. */
typedef struct
{
	const SinkRow *row;
	const char *reason;
} StreamDeadLetter;

/* What is written together with the progress, in one transaction. */
typedef struct
{
	const StreamDeadLetter *letter; /* to be stored; NULL: none */
	int64 letter_id;				/* set if it was */
	bool put_aside;					/* see may_put_aside() of cycle.c */
	int64 take_back;				/* remove the dead letters from this id on; 0: none */
	int64 retry_from;				/* send those from this id on again; 0: none */
	Backfills *backfills;			/* with chunk: note it as sent */
	const BackfillChunk *chunk;		/* NULL: none */
	/* dead letters that were sent again: the batch that is over, why it was refused or NULL */
	const Stream *stream;
	char letters_over[BATCH_ID_SIZE]; /* "": none */
	const char *letters_refused;
	const int64 *letters_begun; /* ids of those that the intent is about; NULL: it is not */
	int nletters_begun;
} ProgressExtra;

/* Read the row of a stream. In a transaction, connected to SPI, as the owner of the rollup. */
extern void ProgressRead(int32 stream_id, Progress *progress);

/*
 * Write a changed copy in a transaction of its own, which is durable when the function returns
 * NULL; then *progress becomes the copy. Else *progress is as it was. That the stream was
 * dropped, or has a new epoch, is an error, too. extra may be NULL.
 */
extern ErrorData *ProgressWrite(int32 stream_id, Progress *progress, const Progress *changed,
								ProgressExtra *extra);

/* Note that the slot exists, and from where on it decodes. In a transaction of its own. */
extern ErrorData *ProgressStart(int32 stream_id, Progress *progress, XLogRecPtr start);

/* Note that the position is gone. In a transaction of its own. */
extern ErrorData *ProgressLose(int32 stream_id, Progress *progress, const char *reason);

/* Note that the target asks for a pause. In a transaction of its own. */
extern ErrorData *ProgressPause(int32 stream_id);

/*
 * Begin a new epoch, and with it a new slot, whose worker has still to make it. Keeps the
 * intent of a backfill's chunk. In a transaction, connected to SPI, as the owner of the rollup.
 */
extern void ProgressNewEpoch(int32 stream_id);

#endif
