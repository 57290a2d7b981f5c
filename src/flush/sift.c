/*
 * sift.c
 *
 * Each record in a subtransaction of its own; see sift.h.
 */
#include "postgres.h"

#include "flush/sift.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "flush/dead_letter.h"
#include "flush/staged.h"
#include "flush/transaction.h"
#include "worker.h"

/*
 * Insert what "staged" shows. NULL when it is done; otherwise nothing of it happened, and the
 * error is returned.
 */
static ErrorData *
try_insert(SPIPlanPtr insert)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (SPI_execute_plan(insert, NULL, NULL, false, 0) != SPI_OK_INSERT)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not insert an event")));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

static bool
is_refused_for(const ErrorData *error, const char *reason)
{
	char description[WORKER_ERROR_SIZE];

	(void) WorkerDescribeError(error, description);
	return !ErrorIsTransient(error->sqlerrcode) && strcmp(description, reason) == 0;
}

void
SiftRecords(Sift *sift)
{
	MemoryContext caller = CurrentMemoryContext;

	sift->refused = MemoryContextAlloc(TopTransactionContext, sift->n * sizeof(Refused));
	for (sift->done = 0; sift->done < sift->n; sift->done++)
	{
		RingRecord **record = &sift->records[sift->done];
		Tuplestorestate *store;
		ErrorData *error;

		/* messages are read at the commit, after SPI's memory is gone, which it leaves current */
		MemoryContextSwitchTo(TopTransactionContext);
		store = StagedShow(record, 1, (*record)->payload_size);
		error = try_insert(sift->insert);
		if (error == NULL && SPI_processed > 0)
		{
			sift->stored++;
			sift->last_stored = *record;
		}
		else if (error != NULL && is_refused_for(error, sift->reason))
		{
			DeadLetterInsert(error);
			sift->refused[sift->nrefused++] =
				(Refused){*record, error->message ? error->message : ""};
		}
		else if (error != NULL && sift->done == 0)
			ReThrowError(error);
		else if (error != NULL)
			break;
		SPI_unregister_relation("staged");
		tuplestore_end(store);
	}
	MemoryContextSwitchTo(caller);
}
