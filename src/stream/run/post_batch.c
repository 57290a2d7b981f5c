/*
 * post_batch.c
 *
 * Probing the target, posting to it, settling a doubt, and waiting after failures.
 */
#include "postgres.h"

#include "stream/run/post_batch.h"

#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/seed.h"
#include "worker/worker.h"

#define FIRST_RETRY 1000			/* ms */
#define LONGEST_RETRY (300 * 1000)	/* ms */
#define LONGEST_WISH (3600 * 1000)	/* ms, of a Retry-After */
#define COMMAND_PATIENCE (2 * 1000) /* ms that a request goes on after a command */

/*
 * For the wire: may the request go on? Ends the process on SIGTERM. The batch is in doubt then,
 * and the next process settles that.
 */
static bool
go_on(void *arg)
{
	Target *target = arg;

	if (WorkerShutdownRequested)
		proc_exit(1);
	(void) WorkerHandleInterrupts();
	if (pg_atomic_read_u32(&target->slot->commands) == target->commands_seen)
		return true;
	if (target->commanded_at == 0)
		target->commanded_at = MonotonicNow();
	return MonotonicNow() < MonotonicAfter(target->commanded_at, COMMAND_PATIENCE);
}

static void
begin_request(Target *target, SinkResult *result)
{
	memset(result, 0, sizeof(*result));
	target->commanded_at = 0;
	target->sink->go_on = go_on;
	target->sink->go_on_arg = target;
}

static void
end_request(Target *target, const SinkResult *result)
{
	CounterAdd(&target->slot->bytes_sent, result->bytes_sent);
}

bool
TargetIsDue(const Target *target)
{
	return !target->blocked && MonotonicNow() >= target->next_try;
}

/*
 * A wait that grows with each failure, of which a random part, at most half, is left out: many
 * streams shall not come back at once
 */
static long
compute_wait(int failures, long retry_after)
{
	long wait = Min((long) FIRST_RETRY << Min(failures, 10), LONGEST_RETRY);

	wait -= (long) (RandomSeed() % (uint64) (wait / 2));
	return Max(wait, Min(retry_after, LONGEST_WISH));
}

/*
 * Say once a minute in the log what is wrong
 */
static void
report(Target *target, const char *message, const char *consequence)
{
	ErrorData error = {.sqlerrcode = ERRCODE_CONNECTION_FAILURE,
					   .message = unconstify(char *, message)};

	WorkerReportError(&error, consequence);
	StreamSlotSetError(target->slot, message);
}

void
TargetFail(Target *target, const char *message, long retry_after)
{
	report(target, message, "It tries again.");
	StreamSlotSetState(target->slot, STREAM_RETRYING, message);
	target->next_try = MonotonicAfter(MonotonicNow(), compute_wait(target->failures, retry_after));
	target->failures++;
	target->probed = false;
}

void
TargetReport(Target *target, const ErrorData *error)
{
	TargetFail(target, error->message ? error->message : "unknown error", 0);
}

static void
block(Target *target, const char *message)
{
	report(target, message, "It waits for fi_resume_stream().");
	StreamSlotSetState(target->slot, STREAM_BLOCKED, message);
	target->blocked = true;
	target->probed = false;
}

/*
 * Note that the target did not do what it was asked
 */
static void
note_failure(Target *target, const SinkResult *result)
{
	if (result->outcome == SINK_BLOCKED)
		block(target, result->message);
	else
		TargetFail(target, result->message, result->retry_after);
}

void
TargetResume(Target *target)
{
	target->blocked = false;
	target->failures = 0;
	target->next_try = 0;
}

static void
publish_guarantee(Target *target)
{
	const char *guarantee = target->sink->guarantee ? target->sink->guarantee : "";

	LWLockAcquire(target->slot->worker.lock, LW_EXCLUSIVE);
	strlcpy(target->slot->guarantee, guarantee, sizeof(target->slot->guarantee));
	LWLockRelease(target->slot->worker.lock);
}

bool
TargetProbe(Target *target)
{
	SinkResult result;

	if (target->probed)
		return true;
	if (!TargetIsDue(target))
		return false;
	begin_request(target, &result);
	target->sink->class->probe(target->sink, &result);
	end_request(target, &result);
	if (result.outcome == SINK_DONE)
	{
		target->probed = target->known = true;
		publish_guarantee(target);
		return true;
	}
	note_failure(target, &result);
	return false;
}

/*
 * Find out what became of a part in doubt. ATTEMPT_RENEW: nothing, so it is to be posted.
 */
static Attempt
settle(Target *target, Flight *flight)
{
	SinkBatch batch;
	SinkResult result;

	/* the target takes a batch twice, or as once */
	if (target->sink->class->settle == NULL)
		return ATTEMPT_RENEW;
	FlightPart(flight, &batch);
	begin_request(target, &result);
	target->sink->class->settle(target->sink, &batch, &result);
	end_request(target, &result);
	switch (result.outcome)
	{
		case SINK_DONE:
			return ATTEMPT_DONE;
		case SINK_AGAIN:
			if (!flight->differs)
				return ATTEMPT_RENEW;
			/* it may take them as others, or again as the same: once it is asked, go on */
			flight->in_doubt = flight->differs = false;
			flight->id[0] = '\0';
			block(target, "the rows of a batch in doubt cannot be read again as they were: see "
						  "whether the target has them, remove them there if so, and call "
						  "fi_resume_stream()");
			return ATTEMPT_LATER;
		default:
			note_failure(target, &result);
			return ATTEMPT_LATER;
	}
}

static void
note_success(Target *target)
{
	target->failures = 0;
	target->next_try = 0;
	pg_atomic_write_u64(&target->slot->last_sent, (uint64) GetCurrentTimestamp());
	CounterAdd(&target->slot->batches_sent, 1);
	StreamSlotSetState(target->slot, STREAM_RUNNING, "");
}

Attempt
TargetPost(Target *target, Flight *flight, char reason[SINK_MESSAGE_SIZE])
{
	SinkBatch batch;
	SinkResult result;

	if (flight->in_doubt)
	{
		Attempt settled = settle(target, flight);

		if (settled == ATTEMPT_DONE)
			note_success(target);
		if (settled != ATTEMPT_RENEW)
			return settled;
		flight->in_doubt = false;
		/* the same id always means the same bytes */
		if (flight->differs)
			return ATTEMPT_RENEW;
	}
	if (target->failures > 0)
		CounterAdd(&target->slot->retries, 1);

	FlightPart(flight, &batch);
	begin_request(target, &result);
	target->sink->class->post(target->sink, &batch, &result);
	end_request(target, &result);
	switch (result.outcome)
	{
		case SINK_DONE:
			note_success(target);
			return ATTEMPT_DONE;
		case SINK_ROW_REFUSED:
			target->failures = 0;
			strlcpy(reason, result.message, SINK_MESSAGE_SIZE);
			return ATTEMPT_REFUSED;
		case SINK_RESHAPED:
			return ATTEMPT_RESHAPED;
		case SINK_PAUSE:
			report(target, result.message, "It is paused.");
			return ATTEMPT_PAUSE;
		case SINK_BLOCKED:
			flight->in_doubt = true;
			block(target, result.message);
			return ATTEMPT_LATER;
		case SINK_IN_DOUBT:
			flight->in_doubt = true;
			CounterAdd(&target->slot->doubts, 1);
			break;
		case SINK_AGAIN:
			break;
	}
	TargetFail(target, result.message, result.retry_after);
	return ATTEMPT_LATER;
}

bool
TargetClear(Target *target, TimestampTz since, TimestampTz until)
{
	SinkResult result;

	if (target->sink->class->clear == NULL)
		return true;
	if (!TargetIsDue(target))
		return false;
	begin_request(target, &result);
	target->sink->class->clear(target->sink, since, until, &result);
	end_request(target, &result);
	if (result.outcome == SINK_DONE)
	{
		target->failures = 0;
		return true;
	}
	note_failure(target, &result);
	return false;
}
