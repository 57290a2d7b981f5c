/*
 * stream_run.c
 *
 * What a worker knows of its stream becomes durable, or is forgotten.
 */
#include "postgres.h"

#include "stream/run/stream_run.h"

#include "access/xlog.h"

#include "base/clock.h"
#include "worker/worker.h"

#define WRITE_WAIT 1000 /* ms after a write that failed */

void
StreamRunSetDirty(StreamRun *run)
{
	if (!run->dirty)
		run->dirty_since = MonotonicNow();
	run->dirty = true;
}

bool
StreamRunHasLiveRows(const StreamRun *run)
{
	return run->recovering || (run->flight.is_open && run->flight.kind == FLIGHT_BATCH) ||
		   SpoolRows(run->spool) > 0;
}

bool
StreamRunWriteAs(StreamRun *run, Progress *changed)
{
	ErrorData *error;

	changed->confirmed = Max(changed->confirmed, run->acked_whole);
	if (!StreamRunHasLiveRows(run))
		changed->confirmed = Max(changed->confirmed, DecoderPosition(run->decoder));
	/* they may have been read again since the chunk was sent */
	run->extra.backfills = run->backfills;
	error = ProgressWrite(run->stream.id, &run->progress, changed, &run->extra);
	if (error != NULL)
	{
		TargetReport(&run->target, error);
		run->write_after = MonotonicAfter(MonotonicNow(), WRITE_WAIT);
		return false;
	}
	if (run->extra.letter != NULL)
	{
		if (run->flight.is_open && run->flight.first_letter == 0)
			run->flight.first_letter = run->extra.letter_id;
		if (run->extra.put_aside)
			run->put_aside = run->extra.letter_id;
		CounterAdd(&run->slot->dead_letters, 1);
		pfree(unconstify(char *, run->letter_row.line));
	}
	memset(&run->extra, 0, sizeof(run->extra));
	run->dirty = false;
	run->written = XactLastCommitEnd;
	(void) StreamRunIsShared(run);
	return true;
}

bool
StreamRunIsShared(StreamRun *run)
{
	if (!DecoderStandbysHave(run->decoder, run->written))
		return false;
	if (run->progress.confirmed > run->confirmed)
		DecoderConfirm(run->decoder, run->progress.confirmed);
	run->confirmed = Max(run->confirmed, run->progress.confirmed);
	return true;
}

bool
StreamRunWrite(StreamRun *run)
{
	Progress changed = run->progress;

	return StreamRunWriteAs(run, &changed);
}

void
StreamRunBegin(StreamRun *run)
{
	run->recovering = run->progress.intent.id[0] != '\0';
	run->confirmed = run->acked_whole = 0;
	run->written = WalFlushPosition(NULL);
	run->unshared = run->waits_for_standby = false;
	run->first_decoded = 0;
	run->letters_seen = run->target.commands_seen - 1;
}

void
StreamRunEnd(StreamRun *run, bool drop)
{
	if (run->decoder != NULL)
		DecoderClose(run->decoder, drop);
	run->decoder = NULL;
	SpoolReset(run->spool);
	FlightEnd(&run->flight);
	run->dirty = run->recovering = false;
	memset(&run->extra, 0, sizeof(run->extra));
}

void
StreamRunLose(StreamRun *run, const char *reason)
{
	ErrorData *error = ProgressLose(run->stream.id, &run->progress, reason);

	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("stream \"%s\" is lost: %s", run->stream.name, reason),
			 errdetail("Events that are not sent are in fast_ingest.events."),
			 errhint("Call fi_resume_stream() with refill => true to send what is missing, or with "
					 "skip_lost => true to go on with events of now.")));
	StreamSlotSetError(run->slot, reason);
	if (error != NULL)
		WorkerReportError(error, "The stream is lost all the same.");
	if (run->decoder == NULL)
		SlotDropByName(run->progress.slot_name);
	StreamRunEnd(run, true);
	StreamSlotSetState(run->slot, STREAM_LOST, reason);
}

void
StreamRunTransaction(StreamRun *run, const char *activity, TransactionBody body, void *arg)
{
	ErrorData *error = RunTransaction(activity, body, arg);

	if (error != NULL)
		TargetReport(&run->target, error);
}
