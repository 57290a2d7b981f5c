/*
 * insert_one_by_one.h
 *
 * Once it is known that the database refuses some events for a certain reason, there may
 * be a thousand of them, and halving batches down to each would hold up those behind
 * them. So the records of a batch are inserted one by one, each in a subtransaction of
 * one transaction: those that the table takes are stored, and those that it refuses for
 * that reason become dead letters.
 */
#ifndef FAST_INGEST_INSERT_ONE_BY_ONE_H
#define FAST_INGEST_INSERT_ONE_BY_ONE_H

#include "executor/spi.h"

#include "shared/types/ring.h"

/* A record that becomes a dead letter when the transaction commits, and why. */
typedef struct
{
	RingRecord *record;
	const char *message;
} RefusedRecord;

/*
 * Replace the record's payload by the message, for the listener to read. A message longer
 * than the payload is cut at a character. Cannot fail.
 */
extern void RefusedRecordWrite(const RefusedRecord *refused);

/* What became of rows. A BEFORE trigger dropped those that are counted in neither. */
typedef struct
{
	uint64 stored;
	uint64 duplicate;
} InsertCounts;

typedef struct
{
	RingRecord **records;
	int n;
	const char *reason;			  /* as ErrorDescribe words it */
	InsertCounts (*insert)(void); /* inserts what the relation "staged" shows */

	/* the result */
	int done; /* so many of the records, from the first on, were stored or refused */
	InsertCounts counts;
	RingRecord *last_stored; /* or NULL */
	int nrefused;
	RefusedRecord *refused; /* until the transaction ends */
} OneByOneInsert;

/*
 * Does an error have that reason, and may it be an event's fault? An error that says "not
 * now" is one only if code of the user's raised it.
 */
extern bool ErrorHasReason(const ErrorData *error, const char *reason);

/*
 * Insert records, and make dead letters of those that are refused for the reason, in the
 * caller's transaction with SPI connected. Ends before a record that is not stored for
 * another reason. An ERROR if that is the first record.
 */
extern void InsertOneByOne(OneByOneInsert *job);

#endif
