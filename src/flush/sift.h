/*
 * sift.h
 *
 * Storing the good events of a batch and burying the bad ones, in one transaction: once it
 * is known that the database refuses some events for a certain reason, there may be a
 * thousand of them, and halving down to each would hold up those behind them.
 */
#ifndef FAST_INGEST_SIFT_H
#define FAST_INGEST_SIFT_H

#include "executor/spi.h"

#include "shared/ring.h"

/* A record to turn into its message when the transaction commits. */
typedef struct
{
	RingRecord *record;
	const char *message;
} Refused;

/* Tell the listener: the record's payload is the message from then on. */
extern void RefusedWrite(const Refused *refused);

/* What became of rows; the others were dropped by a BEFORE trigger. */
typedef struct
{
	uint64 stored;
	uint64 duplicate;
} Inserted;

typedef struct
{
	RingRecord **records;
	int n;
	const char *reason;		  /* as ErrorDescribe says it */
	Inserted (*insert)(void); /* what the relation "staged" shows */

	/* what became of them */
	int done; /* the first of them */
	Inserted inserted;
	RingRecord *last_stored; /* or NULL */
	int nrefused;
	Refused *refused; /* until the transaction ends */
} Sift;

/*
 * Is this error that reason, and one that may be an event's fault? One that says "not now"
 * may if it was raised by code of the user's.
 */
extern bool SiftIsReason(const ErrorData *error, const char *reason);

/*
 * Insert records one by one, and those that are refused for that reason into
 * fast_ingest.dead_letters, in the caller's transaction with SPI connected. Ends at one that
 * is not stored for another reason; an ERROR if this is the first.
 */
extern void SiftRecords(Sift *sift);

#endif
