/*
 * insert_one_by_one.c
 *
 * A subtransaction for each record: see insert_one_by_one.h.
 */
#include "postgres.h"

#include "flush/insert_one_by_one.h"

#include "utils/memutils.h"

#include "db/transaction.h"
#include "flush/dead_letter.h"
#include "flush/staged_relation.h"

typedef struct
{
	InsertCounts (*insert)(void);
	InsertCounts counts;
} Insertion;

static void
run_insertion(void *arg)
{
	Insertion *insertion = arg;

	insertion->counts = insertion->insert();
}

bool
ErrorHasReason(const ErrorData *error, const char *reason)
{
	char description[WORKER_ERROR_SIZE];
	bool shown = ErrorDescribe(error, description);

	return (!shown || !ErrorIsTransient(error->sqlerrcode)) && strcmp(description, reason) == 0;
}

void
RefusedRecordWrite(const RefusedRecord *refused)
{
	RingRecord *record = refused->record;
	const char *message = refused->message;
	uint32 len = Min(strlen(message), record->payload_size);

	/* not pg_mbcliplen: it may raise an ERROR */
	while (len > 0 && len < strlen(message) && ((unsigned char) message[len] & 0xC0) == 0x80)
		len--;
	memcpy(RecordPayload(record), message, len);
	record->payload_size = len;
	record->kind = RECORD_REFUSED;
}

void
InsertOneByOne(OneByOneInsert *job)
{
	MemoryContext caller = CurrentMemoryContext;

	job->refused = MemoryContextAlloc(TopTransactionContext, job->n * sizeof(RefusedRecord));
	for (job->done = 0; job->done < job->n; job->done++)
	{
		RingRecord **record = &job->records[job->done];
		Insertion insertion = {job->insert, {0}};
		Tuplestorestate *store;
		ErrorData *error;

		/* the commit reads the messages, and SPI frees its memory, which is current, before it */
		MemoryContextSwitchTo(TopTransactionContext);
		store = StagedRelationShow(record, 1, (*record)->payload_size);
		error = RunSubtransaction(run_insertion, &insertion);
		if (error == NULL)
		{
			job->counts.stored += insertion.counts.stored;
			job->counts.duplicate += insertion.counts.duplicate;
			if (insertion.counts.stored > 0)
				job->last_stored = *record;
		}
		else if (ErrorHasReason(error, job->reason))
		{
			DeadLetterInsert(error);
			job->refused[job->nrefused++] =
				(RefusedRecord){*record, error->message ? error->message : ""};
		}
		else if (job->done == 0)
			ReThrowError(error);
		else
			break;
		SPI_unregister_relation("staged");
		tuplestore_end(store);
	}
	MemoryContextSwitchTo(caller);
}
