/*
 * sift.c
 *
 * Each record in a subtransaction of its own; see sift.h.
 */
#include "postgres.h"

#include "flush/sift.h"

#include "utils/memutils.h"

#include "flush/dead_letter.h"
#include "flush/staged.h"
#include "db/error_class.h"
#include "db/transaction.h"
#include "worker/worker.h"

typedef struct
{
	Inserted (*insert)(void);
	Inserted inserted;
} Insertion;

static void
insert_body(void *arg)
{
	Insertion *insertion = arg;

	insertion->inserted = insertion->insert();
}

bool
SiftIsReason(const ErrorData *error, const char *reason)
{
	char description[WORKER_ERROR_SIZE];
	bool shown = ErrorDescribe(error, description);

	return (!shown || !ErrorIsTransient(error->sqlerrcode)) && strcmp(description, reason) == 0;
}

void
RefusedWrite(const Refused *refused)
{
	RingRecord *record = refused->record;
	const char *message = refused->message;
	uint32 len = Min(strlen(message), record->payload_size);

	/* pg_mbcliplen would do, but may not be called where nothing may fail */
	while (len > 0 && len < strlen(message) && ((unsigned char) message[len] & 0xC0) == 0x80)
		len--;
	memcpy(RecordPayload(record), message, len);
	record->payload_size = len;
	record->kind = RECORD_REFUSED;
}

void
SiftRecords(Sift *sift)
{
	MemoryContext caller = CurrentMemoryContext;

	sift->refused = MemoryContextAlloc(TopTransactionContext, sift->n * sizeof(Refused));
	for (sift->done = 0; sift->done < sift->n; sift->done++)
	{
		RingRecord **record = &sift->records[sift->done];
		Insertion insertion = {sift->insert, {0}};
		Tuplestorestate *store;
		ErrorData *error;

		/* messages are read at the commit, after SPI's memory is gone, which it leaves current */
		MemoryContextSwitchTo(TopTransactionContext);
		store = StagedShow(record, 1, (*record)->payload_size);
		error = RunSubtransaction(insert_body, &insertion);
		if (error == NULL)
		{
			sift->inserted.stored += insertion.inserted.stored;
			sift->inserted.duplicate += insertion.inserted.duplicate;
			if (insertion.inserted.stored > 0)
				sift->last_stored = *record;
		}
		else if (SiftIsReason(error, sift->reason))
		{
			DeadLetterInsert(error);
			sift->refused[sift->nrefused++] =
				(Refused){*record, error->message ? error->message : ""};
		}
		else if (sift->done == 0)
			ReThrowError(error);
		else
			break;
		SPI_unregister_relation("staged");
		tuplestore_end(store);
	}
	MemoryContextSwitchTo(caller);
}
