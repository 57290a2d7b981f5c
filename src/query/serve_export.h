/*
 * serve_export.h
 *
 * An export on the worker's side of its slot (see shared/query_slot.h): the worker makes a piece,
 * and waits until the listener has taken it, which is as soon as the client reads.
 *
 * The transaction, and so its snapshot, lasts as long as the client reads. The listener ends an
 * export whose client takes nothing for fast_ingest.request_timeout. Here each step of the search
 * is limited by fast_ingest.query_timeout, not the whole.
 */
#ifndef FAST_INGEST_SERVE_EXPORT_H
#define FAST_INGEST_SERVE_EXPORT_H

#include "shared/query_slot.h"
#include "utils/elog.h"

/* What the query worker does for an export. */
typedef struct
{
	/* From here until end_limits, SIGINT and the deadline cancel what is done. */
	void (*begin_limits)(int64 deadline);
	void (*end_limits)(void);

	/* Answer a question, if there is one, within the transaction of the export. */
	void (*serve_question)(void);
} ExportWorker;

typedef struct
{
	bool begun;		/* the answer has begun: there is no other status any more */
	int64 deadline; /* that was the last one */
} ExportOutcome;

/*
 * Make the export of a slot, whose parameters were copied. NULL if it was made, or if nobody waits
 * for it any more; else the error, and the slot is still the worker's.
 */
extern ErrorData *ServeExport(const ExportWorker *worker, QuerySlot *slot, const char *parameters,
							  size_t len, ExportOutcome *outcome);

#endif
