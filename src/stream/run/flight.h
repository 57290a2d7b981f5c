/*
 * flight.h
 *
 * The batch that is being sent: rows that were taken from the spool, or a chunk of a backfill.
 *
 * It goes to the target as one part, all of its rows. If the target refuses a part because of
 * a row in it, the part is halved, until the row is alone: then it is a dead letter. Each part
 * has an id and an intent of its own, and the parts go in the order of their rows. So at any
 * time the rows before `done` are dealt with, and the part [done, top) is in flight.
 */
#ifndef FAST_INGEST_FLIGHT_H
#define FAST_INGEST_FLIGHT_H

#include "postgres.h"

#include "stream/decode/spool.h"
#include "stream/backfill/backfill.h"
#include "stream/backfill/retry.h"
#include "stream/run/progress.h"

/* Halves of halves of the largest batch, and room to spare. */
#define FLIGHT_DEPTH 40

typedef enum
{
	FLIGHT_BATCH,  /* rows of WAL */
	FLIGHT_CHUNK,  /* of a backfill */
	FLIGHT_LETTERS /* dead letters that are sent again */
} FlightKind;

typedef struct
{
	MemoryContext context; /* of the rows; reset by FlightEnd() */
	bool is_open;
	FlightKind kind;
	BackfillChunk chunk; /* if it is one */
	int64 *letters;		 /* the ids of the rows' dead letters, if they are */
	SinkRow *rows;
	int nrows;
	XLogRecPtr whole_lsn; /* see SpoolBatch */
	TimestampTz first_committed;

	int done;
	int ntops;
	int tops[FLIGHT_DEPTH]; /* the last is the end of the part in flight */
	int accepted;			/* rows that the target has */
	int refused;			/* rows that it refuses, in a row from the first one */
	int64 first_letter;		/* dead letter of this batch; 0: none */
	uint64 start_lsn;		/* the position before it */
	uint64 start_n;

	char id[BATCH_ID_SIZE]; /* of the part; "": its intent is not written */
	uint64 id_hash;
	bool in_doubt; /* the target may have the part */
	bool differs;  /* the rows are not those of the intent */
} Flight;

/* Make an empty one. */
extern void FlightInit(Flight *flight);

/* Begin with a batch of the spool or a chunk, whose rows are in flight->context. */
extern void FlightBeginBatch(Flight *flight, const SpoolBatch *batch, const Progress *progress);
extern void FlightBeginChunk(Flight *flight, const BackfillChunk *chunk);
extern void FlightBeginLetters(Flight *flight, const RetryBatch *letters);

/*
 * Begin as above with a batch that was begun before a restart: it is in doubt. If the rows are
 * not those of the intent, it differs.
 */
extern void FlightResume(Flight *flight, const Intent *intent);

/* Forget it. */
extern void FlightEnd(Flight *flight);

/* The part in flight. */
extern void FlightPart(const Flight *flight, SinkBatch *batch);

/* Give the part a new id, and describe it in an intent. */
extern void FlightMakeIntent(Flight *flight, const char *epoch, uint32 timeline, int64 number,
							 Intent *intent);

/*
 * Count the part as dealt with: the target has it, or it is one row, which is refused. False:
 * it was the last one.
 */
extern bool FlightAdvance(Flight *flight, bool accepted);

/* Halve the part. False: it is a single row. */
extern bool FlightHalve(Flight *flight);

/* Begin again with the first row. */
extern void FlightStartOver(Flight *flight);

/* The piece of the chunk that ends with the last row that is dealt with; nrows is rows. */
extern BackfillChunk FlightChunkDone(const Flight *flight, int rows);

#endif
