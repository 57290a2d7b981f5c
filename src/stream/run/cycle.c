/*
 * cycle.c
 *
 * Decoding goes on while the target does not answer, until the spool holds a few batches. One
 * batch is in flight at a time, so events arrive in the order of their commits.
 *
 * A batch is done in memory when the target has it. The next intent, or else a tick when none
 * follows soon, makes that durable in the same transaction as the position that the slot may
 * confirm. The slot is told afterwards. A crash at any moment so leaves an intent that says
 * which batch may have arrived; it is read again, settled, and sent with the same id.
 */
#include "postgres.h"

#include "stream/run/cycle.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "db/act_as_owner.h"
#include "shared/shared_state.h"
#include "stream/run/disk_limit.h"
#include "stream/run/next_flight.h"

#define SPOOLED_BATCHES 3			 /* that are decoded ahead */
#define READ_TIME 100				 /* ms of decoding between two looks at the rest */
#define POLL_TIME 100				 /* ms between two looks at quiet WAL */
#define STANDBY_TIME 5				 /* ms between two looks at a standby */
#define TICK_TIME 1000				 /* ms until a done batch is noted without a next one */
#define QUIET_WAL (16 * 1024 * 1024) /* bytes after which a position is noted anyhow */
#define SUSPICIOUS_REFUSALS 8		 /* rows of a batch, and none accepted: the target's fault */
#define REFUSALS_OF_ONE 5			 /* of an event that comes alone, until it is put aside */

/*
 * Fill the spool from WAL
 */
static bool
decode(StreamRun *run)
{
	int64 limit = (int64) SPOOLED_BATCHES * run->stream.batch_bytes;
	bool at_end;

	if (run->recovering)
		limit = PG_INT64_MAX;
	else if (SpoolBytes(run->spool) > limit)
		return true;
	at_end = DecoderRead(run->decoder, limit, READ_TIME);
	if (SpoolRows(run->spool) > 0 && run->first_decoded == 0)
		run->first_decoded = MonotonicNow();
	if (at_end)
		pg_atomic_write_u32(&run->slot->failures, 0);
	return at_end;
}

static void
write_intent(StreamRun *run)
{
	Flight *flight = &run->flight;
	Progress changed = run->progress;

	changed.batch++;
	FlightMakeIntent(flight, changed.epoch, run->timeline, changed.batch, &changed.intent);
	if (flight->kind == FLIGHT_LETTERS)
	{
		run->extra.letters_begun = flight->letters + flight->done;
		run->extra.nletters_begun = changed.intent.rows;
	}
	if (!StreamRunWriteAs(run, &changed))
	{
		flight->id[0] = '\0';
		run->extra.letters_begun = NULL;
	}
}

/*
 * The target takes events. If it was its fault until now, what it refused gets another chance.
 */
static void
note_acceptance(StreamRun *run)
{
	Flight *flight = &run->flight;

	if (run->put_aside != 0 || (run->suspects_target && flight->first_letter != 0))
	{
		run->extra.retry_from = run->put_aside != 0 ? run->put_aside : flight->first_letter;
		run->put_aside = flight->first_letter = 0;
		run->letters_seen = run->target.commands_seen - 1;
	}
	run->accepted_since = run->accepted_lately = true;
}

/*
 * Move the position behind the part in flight, of which the target has that many rows
 */
static void
advance(StreamRun *run, int rows)
{
	Flight *flight = &run->flight;
	SinkBatch part;
	bool more;

	FlightPart(flight, &part);
	if (flight->kind == FLIGHT_LETTERS)
	{
		run->extra.stream = &run->stream;
		strlcpy(run->extra.letters_over, flight->id, sizeof(run->extra.letters_over));
		run->extra.letters_refused = rows > 0 ? NULL : run->letter_reason;
	}
	if (rows > 0)
		note_acceptance(run);
	more = FlightAdvance(flight, rows > 0);
	run->progress.intent.id[0] = '\0';
	CounterAdd(&run->slot->events_sent, (uint64) rows);
	StreamRunSetDirty(run);
	if (flight->kind == FLIGHT_CHUNK)
	{
		run->chunk = FlightChunkDone(flight, rows);
		run->extra.backfills = run->backfills;
		run->extra.chunk = &run->chunk;
	}
	else if (flight->kind == FLIGHT_BATCH)
	{
		run->progress.done_lsn = part.rows[part.nrows - 1].lsn;
		run->progress.done_n = part.rows[part.nrows - 1].n;
		run->progress.done_at = GetCurrentTimestamp();
	}
	if (more)
		return;
	if (flight->kind == FLIGHT_BATCH)
		run->acked_whole = Max(run->acked_whole, flight->whole_lsn);
	/* dead letters that are refused again say nothing new of the target */
	if (flight->kind != FLIGHT_LETTERS)
		run->halving_allowed = run->suspects_target = false;
	FlightEnd(flight);
	DiskLimitPublishLag(run);
}

/*
 * Is it more likely the target's fault that a single row is refused? So it is while the target
 * has accepted nothing since it refused the first row of this batch.
 */
static bool
is_suspicious(const StreamRun *run)
{
	const Flight *flight = &run->flight;

	if (flight->accepted > 0 || run->halving_allowed)
		return false;
	if (run->suspects_target && run->accepted_since)
		return false;
	return flight->ntops == 1 || flight->refused + 1 >= SUSPICIOUS_REFUSALS;
}

/*
 * May the row of a batch that has only one become a dead letter, although it may be the target's
 * fault? Else an event that no target takes would hold up a stream to which nothing else comes.
 * So it is after some tries, and for a single event until the target takes another: then it is
 * sent again, so a target that was at fault gets it.
 */
static bool
may_put_aside(const StreamRun *run)
{
	return run->flight.nrows == 1 && run->accepted_lately && run->suspects_target &&
		   run->suspicions + 1 >= REFUSALS_OF_ONE;
}

/*
 * Take back the dead letters of this batch, and try it again later. A small batch is cut anew:
 * with the events that have come meanwhile it shows who is at fault.
 */
static void
suspect_target(StreamRun *run, const char *reason)
{
	Flight *flight = &run->flight;
	char message[WORKER_ERROR_SIZE];

	snprintf(
		message, sizeof(message),
		"the target refuses each of %d events, which fi_resume_stream() makes dead letters: %s",
		flight->refused + 1, reason);
	run->extra.take_back = flight->first_letter;
	run->progress.intent.id[0] = '\0';
	FlightStartOver(flight);
	if (flight->kind == FLIGHT_CHUNK)
	{
		run->chunk = FlightChunkDone(flight, 0);
		run->extra.backfills = run->backfills;
		run->extra.chunk = &run->chunk;
	}
	else
	{
		run->progress.done_lsn = flight->start_lsn;
		run->progress.done_n = flight->start_n;
	}
	StreamRunSetDirty(run);
	if (!run->suspects_target)
	{
		run->suspicions = 0;
		run->accepted_since = false;
	}
	run->suspects_target = true;
	run->target.failures = run->suspicions++;
	TargetFail(&run->target, message, 0);
	if (flight->nrows < SUSPICIOUS_REFUSALS && StreamRunWrite(run))
	{
		run->chunk_next = false;
		StreamRunEnd(run, false);
	}
}

/*
 * The target refuses a row of the part in flight; or, if it is certain, no target could take it
 */
static void
handle_refusal(StreamRun *run, const char *reason, bool certain)
{
	Flight *flight = &run->flight;
	SinkBatch part;

	if (FlightHalve(flight))
	{
		run->progress.intent.id[0] = '\0';
		return;
	}
	strlcpy(run->letter_reason, reason, sizeof(run->letter_reason));
	if (flight->kind == FLIGHT_LETTERS)
	{
		/* it stays a dead letter */
		advance(run, 0);
		(void) StreamRunWrite(run);
		return;
	}
	if (!certain && is_suspicious(run))
	{
		if (!may_put_aside(run))
		{
			suspect_target(run, reason);
			return;
		}
		run->extra.put_aside = true;
		run->accepted_lately = false;
	}
	FlightPart(flight, &part);
	run->letter_row = part.rows[0];
	run->letter_row.line = memcpy(MemoryContextAlloc(TopMemoryContext, part.rows[0].len + 1),
								  part.rows[0].line, part.rows[0].len);
	run->letter = (StreamDeadLetter){&run->letter_row, run->letter_reason};
	run->extra.letter = &run->letter;
	advance(run, 0);
	(void) StreamRunWrite(run);
}

static void
pause_stream(StreamRun *run)
{
	ErrorData *error = ProgressPause(run->stream.id);

	if (error != NULL)
		TargetReport(&run->target, error);
	else
		run->stream.paused = true;
}

static const SinkRow *
find_unsendable(const SinkBatch *part)
{
	for (int i = 0; i < part->nrows; i++)
		if (part->rows[i].len > 0 && part->rows[i].line[0] == STREAM_UNSENDABLE)
			return &part->rows[i];
	return NULL;
}

/*
 * Send the part in flight, if it is time to try
 */
static void
send_part(StreamRun *run)
{
	Flight *flight = &run->flight;
	char reason[SINK_MESSAGE_SIZE];
	SinkBatch part;
	const SinkRow *unsendable;

	if (flight->id[0] == '\0')
		write_intent(run);
	if (flight->id[0] == '\0')
		return;
	/* a standby that is promoted must know which batch is in doubt */
	run->unshared = !StreamRunIsShared(run);
	if (run->unshared)
		return;
	FlightPart(flight, &part);
	unsendable = find_unsendable(&part);
	if (unsendable != NULL)
	{
		strlcpy(reason, unsendable->line + 1, Min(sizeof(reason), unsendable->len));
		handle_refusal(run, reason, true);
		return;
	}
	switch (TargetPost(&run->target, flight, reason))
	{
		case ATTEMPT_DONE:
			advance(run, part.nrows);
			break;
		case ATTEMPT_REFUSED:
			handle_refusal(run, reason, false);
			break;
		case ATTEMPT_RENEW:
			flight->id[0] = '\0';
			flight->differs = false;
			break;
		case ATTEMPT_RESHAPED:
			/* nothing of it was sent: encode anew what is not acknowledged */
			run->progress.intent.id[0] = '\0';
			if (StreamRunWrite(run))
				StreamRunEnd(run, false);
			break;
		case ATTEMPT_PAUSE:
			pause_stream(run);
			break;
		case ATTEMPT_LATER:
			break;
	}
}

static void
prune_backfills(void *arg)
{
	StreamRun *run = arg;
	SavedUser user = ActAsRollupOwner();

	(void) BackfillsPrune(run->backfills, run->confirmed);
	ActAsCallerAgain(user);
}

/*
 * Note what is done if no intent does soon. Where WAL is long that has nothing for the target,
 * note that, so that the server can remove it.
 */
static void
tick(StreamRun *run)
{
	bool is_due = run->dirty && MonotonicNow() >= MonotonicAfter(run->dirty_since, TICK_TIME);

	if (!is_due && !StreamRunHasLiveRows(run))
		is_due = DecoderPosition(run->decoder) >= run->progress.confirmed + QUIET_WAL ||
				 DecoderCanRelease(run->decoder, QUIET_WAL);
	if (run->progress.confirmed > run->confirmed)
		(void) StreamRunIsShared(run);
	if (run->recovering || MonotonicNow() < run->write_after)
		return;
	if (is_due && !StreamRunWrite(run))
		return;
	/* also while each batch writes the progress, and none is ever due here */
	if (BackfillsPrunable(run->backfills, run->confirmed))
		StreamRunTransaction(run, "forgetting backfills that are done", prune_backfills, run);
}

/*
 * Say that a standby is waited for, or not any more
 */
static void
publish_standby(StreamRun *run)
{
	bool waits = run->target.probed && DecoderWaitsForStandby(run->decoder);

	if (waits == run->waits_for_standby)
		return;
	run->waits_for_standby = waits;
	if (waits)
		StreamSlotSetState(run->slot, STREAM_WAITING,
						   "for a standby of synchronized_standby_slots to receive WAL");
	else if (run->target.probed)
		StreamSlotSetState(run->slot, STREAM_RUNNING, BackfillsObstacle(run->backfills));
}

static long
compute_wait(const StreamRun *run, bool at_end)
{
	int64 now = MonotonicNow();

	if (run->decoder == NULL)
		return 0;
	if (run->unshared)
		return STANDBY_TIME;
	if (!at_end && run->target.known)
		return 0;
	if (run->flight.is_open || !run->target.probed)
		return run->target.blocked ? POLL_TIME
								   : Min(POLL_TIME, MonotonicLeft(now, run->target.next_try));
	if (SpoolRows(run->spool) > 0)
		return Min(POLL_TIME, MonotonicLeft(now, MonotonicAfter(run->first_decoded,
																run->stream.flush_interval)));
	return POLL_TIME;
}

long
CycleStep(StreamRun *run)
{
	bool at_end = true;
	bool began = false;

	if (TargetProbe(&run->target) && !run->flight.is_open && !run->suspects_target)
	{
		run->target.failures = 0;
		StreamSlotSetState(run->slot, STREAM_RUNNING, BackfillsObstacle(run->backfills));
	}
	if (run->decoder == NULL)
		return 0;
	if (run->target.probed && DecoderWaitsForStandby(run->decoder))
		StreamSlotSetState(run->slot, STREAM_WAITING,
						   "for the standbys of synchronized_standby_slots");
	/* only a target that is known says how rows are encoded */
	if (run->target.known)
		at_end = decode(run);
	if (run->target.known && run->recovering)
		NextFlightRecover(run);
	if (run->target.probed && !run->recovering && TargetIsDue(&run->target))
	{
		if (!run->flight.is_open)
			began = NextFlightBegin(run);
		if (run->decoder != NULL && run->flight.is_open)
			send_part(run);
	}
	if (run->decoder != NULL)
		tick(run);
	if (run->decoder != NULL)
		publish_standby(run);
	return began ? 0 : compute_wait(run, at_end);
}
