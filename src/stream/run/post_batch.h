/*
 * post_batch.h
 *
 * One attempt at a time to bring a batch to the target of a stream, and when the next one is
 * due. No request is made inside a transaction.
 */
#ifndef FAST_INGEST_POST_BATCH_H
#define FAST_INGEST_POST_BATCH_H

#include "postgres.h"

#include "shared/stream_slot.h"
#include "stream/run/flight.h"
#include "stream/sink/sink.h"

typedef struct
{
	StreamSlot *slot;
	Sink *sink;		/* NULL: not open */
	bool probed;	/* it was found fit, and no failure since */
	bool known;		/* it was found fit once: rows can be encoded */
	bool blocked;	/* a person must look */
	int failures;	/* in a row */
	int64 next_try; /* see clock.h */
	uint32 commands_seen;
	int64 commanded_at; /* when a request under way met a newer command; 0: not */
} Target;

typedef enum
{
	ATTEMPT_DONE,	  /* the target has the part in flight */
	ATTEMPT_REFUSED,  /* it refuses a row of it */
	ATTEMPT_LATER,	  /* try again when next_try has come, or a person has looked */
	ATTEMPT_PAUSE,	  /* it wants no more requests */
	ATTEMPT_RESHAPED, /* rows must be encoded again */
	ATTEMPT_RENEW	  /* it has nothing of the part, which needs another id */
} Attempt;

/* May an attempt be made now? */
extern bool TargetIsDue(const Target *target);

/* Look at the target if that is due. True: it is fit to be posted to. */
extern bool TargetProbe(Target *target);

/*
 * Try to send the part in flight, whose intent is durable. reason gets what the target says to
 * a row that it refuses.
 */
extern Attempt TargetPost(Target *target, Flight *flight, char reason[SINK_MESSAGE_SIZE]);

/* Remove a range of time from the target. True: it is gone. */
extern bool TargetClear(Target *target, TimestampTz since, TimestampTz until);

/* Publish a failure, and wait longer after each one. */
extern void TargetFail(Target *target, const char *message, long retry_after);

/* Somebody has looked: try again at once. */
extern void TargetResume(Target *target);

/* Publish an error of our own side, and wait as above. */
extern void TargetReport(Target *target, const ErrorData *error);

#endif
