/*
 * flight.c
 *
 * The parts of a batch, their ids and hashes.
 */
#include "postgres.h"

#include "stream/run/flight.h"

#include "utils/memutils.h"

void
FlightInit(Flight *flight)
{
	memset(flight, 0, sizeof(*flight));
	flight->context = AllocSetContextCreate(TopMemoryContext, "fast_ingest batch of a stream",
											ALLOCSET_DEFAULT_SIZES);
}

void
FlightEnd(Flight *flight)
{
	MemoryContext context = flight->context;

	MemoryContextReset(context);
	memset(flight, 0, sizeof(*flight));
	flight->context = context;
}

void
FlightStartOver(Flight *flight)
{
	flight->done = 0;
	flight->ntops = 1;
	flight->tops[0] = flight->nrows;
	flight->accepted = flight->refused = 0;
	flight->first_letter = 0;
	flight->id[0] = '\0';
	flight->in_doubt = flight->differs = false;
}

void
FlightBeginBatch(Flight *flight, const SpoolBatch *batch, const Progress *progress)
{
	flight->is_open = true;
	flight->kind = FLIGHT_BATCH;
	flight->rows = batch->rows;
	flight->nrows = batch->nrows;
	flight->whole_lsn = batch->whole_lsn;
	flight->first_committed = batch->first_committed;
	flight->start_lsn = progress->done_lsn;
	flight->start_n = progress->done_n;
	FlightStartOver(flight);
}

void
FlightBeginChunk(Flight *flight, const BackfillChunk *chunk)
{
	flight->is_open = true;
	flight->kind = FLIGHT_CHUNK;
	flight->chunk = *chunk;
	flight->rows = chunk->rows;
	flight->nrows = chunk->nrows;
	FlightStartOver(flight);
}

void
FlightBeginLetters(Flight *flight, const RetryBatch *letters)
{
	flight->is_open = true;
	flight->kind = FLIGHT_LETTERS;
	flight->rows = letters->rows;
	flight->nrows = letters->nrows;
	flight->letters = letters->ids;
	FlightStartOver(flight);
}

void
FlightPart(const Flight *flight, SinkBatch *batch)
{
	batch->id = flight->id;
	batch->hash = flight->id_hash;
	batch->rows = flight->rows + flight->done;
	batch->nrows = flight->tops[flight->ntops - 1] - flight->done;
}

/*
 * Compute the SHA-256 of the rows of a batch, each with a line feed
 */
static void
hash_rows(const SinkBatch *batch, Sha256Digest *digest)
{
	Slice *pieces = palloc_extended(sizeof(Slice) * 2 * Max(batch->nrows, 1), MCXT_ALLOC_HUGE);
	bool hashed;

	for (int i = 0; i < batch->nrows; i++)
	{
		pieces[2 * i] = (Slice){batch->rows[i].line, batch->rows[i].len};
		pieces[2 * i + 1] = (Slice){"\n", 1};
	}
	hashed = Sha256(Sha256ProcessContext(), pieces, 2 * batch->nrows, digest);
	pfree(pieces);
	if (!hashed)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
}

static void
set_id(Flight *flight, const char *id)
{
	Slice text = {id, strlen(id)};
	Sha256Digest digest;

	strlcpy(flight->id, id, sizeof(flight->id));
	if (!Sha256(Sha256ProcessContext(), &text, 1, &digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	flight->id_hash = 0;
	for (int i = 0; i < 8; i++)
		flight->id_hash = flight->id_hash << 8 | digest.bytes[i];
	flight->id_hash &= PG_INT64_MAX;
}

/*
 * Where a piece of the chunk ends whose rows are those before row number top
 */
static ItemPointerData
find_end(const Flight *flight, int top)
{
	if (top == flight->nrows)
		return flight->chunk.upto;
	return top > 0 ? BackfillTid(flight->rows[top - 1].n) : flight->chunk.from;
}

void
FlightMakeIntent(Flight *flight, const char *epoch, uint32 timeline, int64 number, Intent *intent)
{
	SinkBatch part;
	int top = flight->tops[flight->ntops - 1];
	char id[BATCH_ID_SIZE];

	snprintf(id, sizeof(id), "fi-%s-%u-" INT64_FORMAT, epoch, timeline, number);
	set_id(flight, id);
	FlightPart(flight, &part);
	memset(intent, 0, sizeof(*intent));
	strlcpy(intent->id, id, sizeof(intent->id));
	intent->rows = part.nrows;
	hash_rows(&part, &intent->hash);
	if (flight->kind == FLIGHT_LETTERS)
		return;
	if (flight->kind == FLIGHT_CHUNK)
	{
		ItemPointerData end = find_end(flight, top);

		intent->n = BackfillPosition(0, &end);
		intent->backfill = flight->chunk.backfill;
		intent->partition = flight->chunk.partition;
		intent->from = find_end(flight, flight->done);
		return;
	}
	intent->lsn = flight->rows[top - 1].lsn;
	intent->n = flight->rows[top - 1].n;
}

void
FlightResume(Flight *flight, const Intent *intent)
{
	SinkBatch part;
	Sha256Digest hash;

	set_id(flight, intent->id);
	FlightPart(flight, &part);
	hash_rows(&part, &hash);
	flight->in_doubt = true;
	flight->differs = part.nrows != intent->rows || memcmp(&hash, &intent->hash, sizeof(hash)) != 0;
}

bool
FlightAdvance(Flight *flight, bool accepted)
{
	int top = flight->tops[flight->ntops - 1];

	if (accepted)
		flight->accepted += top - flight->done;
	else
		flight->refused++;
	flight->done = top;
	flight->ntops--;
	flight->id[0] = '\0';
	flight->in_doubt = flight->differs = false;
	return flight->ntops > 0;
}

bool
FlightHalve(Flight *flight)
{
	int top = flight->tops[flight->ntops - 1];

	if (top - flight->done <= 1 || flight->ntops == FLIGHT_DEPTH)
		return false;
	flight->tops[flight->ntops++] = flight->done + (top - flight->done) / 2;
	flight->id[0] = '\0';
	flight->in_doubt = flight->differs = false;
	return true;
}

BackfillChunk
FlightChunkDone(const Flight *flight, int rows)
{
	BackfillChunk piece = flight->chunk;

	piece.upto = find_end(flight, flight->done);
	piece.ends_partition = flight->chunk.ends_partition && flight->done == flight->nrows;
	piece.nrows = rows;
	return piece;
}
