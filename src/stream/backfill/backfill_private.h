/*
 * backfill_private.h
 *
 * The backfills of a stream in memory, as the tables have them. For backfill*.c only.
 */
#ifndef FAST_INGEST_BACKFILL_PRIVATE_H
#define FAST_INGEST_BACKFILL_PRIVATE_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"

#include "stream/backfill/backfill.h"

/* A row of fast_ingest.stream_backfills. */
typedef struct
{
	int64 id;
	TimestampTz since;
	TimestampTz until; /* infinity has the events of that time, too */
	uint64 unsent;	   /* full transaction ids; 0: all events */
	uint64 cut;		   /* 0: not taken yet */
	bool clear;
	bool cleared;
	bool done;
	XLogRecPtr ended; /* 0: transactions before the cut may run */
	TimestampTz requested_at;
} Backfill;

/* A row of fast_ingest.stream_backfill_partitions, of a partition that is not done. */
typedef struct
{
	Oid partition;
	int number;
	ItemPointerData position;
	Oid filenode;	   /* of position; InvalidOid: not read yet */
	BlockNumber end;   /* the size */
	double density;	   /* estimated events of a block */
	BlockNumber pages; /* estimated size */
} BackfillPartition;

struct Backfills
{
	MemoryContext context; /* of this struct */
	MemoryContext loaded;  /* of what follows */
	int32 stream;		   /* its id, name and kind */
	char *name;
	StreamKind kind;
	int n;
	Backfill *jobs; /* in the order of their ids */
	int64 current;	/* id of the job that the partitions are of */
	int npartitions;
	BackfillPartition *partitions;
	bool stale;			/* the tables have changed */
	int64 next_look;	/* see clock.h */
	char obstacle[256]; /* "": none */
};

/* Read the tables again. In a transaction, connected to SPI. */
extern void BackfillsLoad(Backfills *backfills);

/*
 * The backfill that is to be read now, or NULL.
 */
extern Backfill *BackfillsCurrent(const Backfills *backfills);

/* The full transaction id of one that is not behind the next one. */
extern uint64 FullXidBefore(TransactionId xid, FullTransactionId next);

/* Is ts in the range of a backfill? */
static inline bool
BackfillHasTime(const Backfill *job, TimestampTz ts)
{
	return ts >= job->since && (ts < job->until || TIMESTAMP_IS_NOEND(job->until));
}

/* Is it a refill whose days have not been found yet? */
static inline bool
BackfillIsRefill(const Backfill *job)
{
	return job->cut == 0 && job->clear && job->unsent != 0;
}

/* The first refill whose days have not been found yet, or NULL. */
extern const Backfill *BackfillsRefill(const Backfills *backfills);

/* Do one step of the search for them. In a transaction, connected to SPI. */
extern void BackfillsSearch(Backfills *backfills, const Backfill *job);

/* Note what stands in the way, and look again after a while. */
extern void BackfillsWait(Backfills *backfills, const char *what);

/* Note that all of a backfill has been sent. In a transaction, connected to SPI. */
extern void BackfillSetDone(int64 id);

/* Insert a row of stream_backfills; unsent 0 is NULL. */
extern void BackfillInsert(int32 stream, TimestampTz since, TimestampTz until, uint64 unsent,
						   bool clear);

/* The tables that have events of a time range: OIDs of leaf partitions, or of events itself. */
extern List *EventTables(TimestampTz since, TimestampTz until);

/*
 * Has every transaction before the cut of a backfill ended? If not, the oldest stands in the
 * way. In a transaction, connected to SPI, with an active snapshot of now.
 */
extern bool BackfillsFormerEnded(Backfills *backfills, const Backfill *job);

/*
 * Note which tables a backfill has to read. Not before the above: a transaction before the cut
 * may have made a partition. In a transaction, connected to SPI.
 */
extern void BackfillListTables(const Backfill *job);

/*
 * The lowest time that a partition of events takes. Before it the target may have events that
 * are here no more.
 */
extern TimestampTz EventsBegin(void);

#endif
