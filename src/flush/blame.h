/*
 * blame.h
 *
 * Whose fault is it that a batch was not stored? Not an event's if the error may pass, or
 * if the table refuses other events as well. Reasons for which an event was to blame are
 * remembered for a moment, so that others with the same reason are dealt with at once.
 */
#ifndef FAST_INGEST_BLAME_H
#define FAST_INGEST_BLAME_H

#include "flush/batch.h"

/* Tries in a row before an event is blamed: with an error that may pass, or cancelled ones. */
#define PASSING_TRIES 3
#define CANCELLED_TRIES 2

#define BLAMES 8 /* reasons that are remembered */

typedef struct
{
	char reason[WORKER_ERROR_SIZE]; /* as ErrorDescribe words it */
	int64 until;					/* see clock.h */
} Blame;

typedef struct
{
	Blame items[BLAMES];
	int next;
} BlameList;

/* The batch at hand was not stored. */
typedef struct
{
	Lane lane;
	int tries; /* that failed before, in a row */
	BatchResult result;
	const ErrorData *error;
} FailedTry;

/* Remember that an event was to blame for an error. */
extern void BlameAdd(BlameList *list, const ErrorData *error);

/* The reason of an error if an event was to blame for it a moment ago, else NULL. */
extern const char *BlameFind(const BlameList *list, const ErrorData *error);

/*
 * May the error pass, so that the batch is worth another try as it is? Not after some
 * tries, nor if code of the user's has refused an event with it, which may raise any error.
 */
extern bool FailureMayPass(const BlameList *list, const FailedTry *failure);

/* Would the table accept other events than the first one of the batch? */
extern TrialResult FailureOfOthers(const FailedTry *failure);

/* The batch is one event: is it to blame? */
extern bool EventIsToBlame(const BlameList *list, const FailedTry *failure);

#endif
