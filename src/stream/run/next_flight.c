/*
 * next_flight.c
 *
 * Live batches and chunks of backfills take turns, so neither waits for the other's end. Dead
 * letters that are to be sent again come when nothing else is due.
 */
#include "postgres.h"

#include "stream/run/next_flight.h"

#include "utils/memutils.h"

#include "base/clock.h"
#include "db/act_as_owner.h"
#include "stream/backfill/retry.h"

typedef struct
{
	StreamRun *run;
	const char *begun;
	bool found;
	RetryBatch letters;
} LetterReading;

static void
read_letters(void *arg)
{
	LetterReading *reading = arg;
	SavedUser user = ActAsRollupOwner();

	reading->found = RetryRead(&reading->run->stream, reading->begun, reading->run->flight.context,
							   &reading->letters);
	ActAsCallerAgain(user);
}

/*
 * Begin with dead letters that are to be sent again; with begun with those of that batch.
 * False: there are none.
 */
static bool
begin_letters(StreamRun *run, const char *begun)
{
	LetterReading reading = {.run = run, .begun = begun};

	StreamRunTransaction(run, "reading dead letters of a stream", read_letters, &reading);
	if (reading.found)
		FlightBeginLetters(&run->flight, &reading.letters);
	return reading.found;
}

static void
recover_chunk(StreamRun *run, const Intent *intent)
{
	MemoryContext caller = MemoryContextSwitchTo(run->flight.context);
	BackfillChunk begun = {.backfill = intent->backfill,
						   .partition = intent->partition,
						   .from = intent->from,
						   .upto = BackfillTid(intent->n)};
	BackfillChunk chunk = begun;

	if (!BackfillReadChunk(run->backfills, &run->stream, run->target.sink, &begun, &chunk))
		chunk.nrows = 0;
	MemoryContextSwitchTo(caller);
	FlightBeginChunk(&run->flight, &chunk);
}

static void
recover_batch(StreamRun *run, const Intent *intent)
{
	MemoryContext caller = MemoryContextSwitchTo(run->flight.context);
	SpoolBatch batch;

	SpoolTakeUpTo(run->spool, intent->lsn, intent->n, &batch);
	MemoryContextSwitchTo(caller);
	FlightBeginBatch(&run->flight, &batch, &run->progress);
}

void
NextFlightRecover(StreamRun *run)
{
	const Intent *intent = &run->progress.intent;

	/* the commit of the last row is before the position when it has been read */
	if (intent->lsn != 0 && DecoderPosition(run->decoder) <= intent->lsn)
		return;
	if (intent->lsn != 0)
		recover_batch(run, intent);
	else if (intent->backfill != 0)
		recover_chunk(run, intent);
	else
		(void) begin_letters(run, intent->id);
	run->recovering = false;
	if (run->flight.nrows > 0)
	{
		FlightResume(&run->flight, intent);
		ereport(LOG, (errmsg("stream \"%s\" takes up batch %s again%s", run->stream.name,
							 intent->id, run->flight.differs ? ", whose rows have changed" : "")));
		return;
	}
	ereport(LOG, (errmsg("stream \"%s\" drops batch %s, whose rows are gone", run->stream.name,
						 intent->id)));
	FlightEnd(&run->flight);
	run->progress.intent.id[0] = '\0';
	StreamRunSetDirty(run);
}

static void
note_cleared(void *arg)
{
	SavedUser user = ActAsRollupOwner();

	BackfillsNoteCleared(arg);
	ActAsCallerAgain(user);
}

static bool
batch_is_due(const StreamRun *run)
{
	return SpoolRows(run->spool) >= run->stream.batch_rows ||
		   SpoolBytes(run->spool) >= run->stream.batch_bytes ||
		   (SpoolRows(run->spool) > 0 &&
			MonotonicNow() >= MonotonicAfter(run->first_decoded, run->stream.flush_interval));
}

static void
begin_batch(StreamRun *run)
{
	MemoryContext caller = MemoryContextSwitchTo(run->flight.context);
	SpoolBatch batch;

	SpoolTake(run->spool, run->stream.batch_rows, run->stream.batch_bytes, &batch);
	MemoryContextSwitchTo(caller);
	FlightBeginBatch(&run->flight, &batch, &run->progress);
	run->first_decoded = SpoolRows(run->spool) > 0 ? MonotonicNow() : 0;
	run->chunk_next = true;
}

/*
 * Begin with the next chunk. False: there is none at present.
 */
static bool
begin_chunk(StreamRun *run)
{
	MemoryContext caller;
	BackfillChunk chunk;
	bool found;

	if (!BackfillsOpen(run->backfills) || BackfillsObstacle(run->backfills)[0] != '\0')
		return false;
	/* where the next one begins */
	if (run->extra.chunk != NULL && !StreamRunWrite(run))
		return false;
	caller = MemoryContextSwitchTo(run->flight.context);
	found = BackfillReadChunk(run->backfills, &run->stream, run->target.sink, NULL, &chunk);
	MemoryContextSwitchTo(caller);
	if (!found)
		return false;
	run->chunk_next = false;
	if (chunk.nrows > 0)
	{
		FlightBeginChunk(&run->flight, &chunk);
		return true;
	}
	run->chunk = chunk;
	run->extra.backfills = run->backfills;
	run->extra.chunk = &run->chunk;
	StreamRunSetDirty(run);
	(void) StreamRunWrite(run);
	FlightEnd(&run->flight);
	return true;
}

/*
 * Begin with something to send. False: there is nothing.
 */
bool
NextFlightBegin(StreamRun *run)
{
	ErrorData *error;
	TimestampTz since;
	TimestampTz until;

	if (BackfillsCutIsDue(run->backfills))
	{
		/* whoever opens the decoder again takes the cut first */
		if (StreamRunWrite(run))
			StreamRunEnd(run, false);
		return true;
	}
	if (BackfillsToClear(run->backfills, &since, &until))
	{
		if (!TargetClear(&run->target, since, until))
			return false;
		error = RunTransaction("noting what a target has removed", note_cleared, run->backfills);
		/* the copy in memory says that it is noted, and what is posted now would be removed again
		 */
		if (error != NULL)
			ReThrowError(error);
		return true;
	}
	if (run->chunk_next && begin_chunk(run))
		return true;
	if (batch_is_due(run))
	{
		begin_batch(run);
		return true;
	}
	if (!run->chunk_next && begin_chunk(run))
		return true;
	/* each command may ask for it */
	if (run->letters_seen == run->target.commands_seen || run->dirty)
		return false;
	if (begin_letters(run, NULL))
		return true;
	run->letters_seen = run->target.commands_seen;
	return false;
}
