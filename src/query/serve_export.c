/*
 * serve_export.c
 *
 * Hands the pieces of an export over. Nothing is locked meanwhile but what a query locks.
 */
#include "postgres.h"

#include "query/serve_export.h"

#include <microhttpd.h>

#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "base/clock.h"
#include "base/settings.h"
#include "db/transaction.h"
#include "query/export/export.h"
#include "worker/worker.h"

#define LOOK_PAUSE 1000 /* ms between two looks at interrupts */

/* The longest wait for a client; the listener ends it sooner. */
#define CLIENT_WAIT (2 * 3600 * 1000)

/* The export under way. Its steps have no argument. */
static const ExportWorker *my_worker;
static QuerySlot *my_slot;
static const char *my_parameters;
static size_t my_parameters_len;
static bool begun;
static bool completed;
static int64 deadline;

/* No error: the client has gone. */
#define ERRCODE_CLIENT_GONE ERRCODE_CONNECTION_FAILURE

/*
 * Limit what follows; SIGINT cancels it in any case
 */
static void
limit_to(int64 milliseconds)
{
	deadline = MonotonicAfter(MonotonicNow(), milliseconds);
	my_worker->begin_limits(deadline);
}

static void
begin_step(void)
{
	limit_to(fi_query_timeout);
}

static void
end_step(void)
{
	CHECK_FOR_INTERRUPTS();
	limit_to(CLIENT_WAIT);
}

static void
begin_answer(bool csv, const char *next_cursor)
{
	my_slot->status = MHD_HTTP_OK;
	my_slot->csv = csv;
	strlcpy(my_slot->next_cursor, next_cursor, QUERY_CURSOR_SIZE);
	begun = true;
}

/*
 * Answer a question, if there is one, which has its own limits
 */
static void
serve_question(void)
{
	CHECK_FOR_INTERRUPTS();
	my_worker->serve_question();
	limit_to(CLIENT_WAIT);
}

/*
 * Wait until the piece is taken, and answer questions meanwhile
 */
static void
wait_for_client(void)
{
	while (QuerySlotReadState(my_slot) == SLOT_PIECE)
	{
		serve_question();
		if (WorkerOnHold())
			proc_exit(1);
		if (QuerySlotReadState(my_slot) == SLOT_PIECE)
			WorkerWait(LOOK_PAUSE);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
put_piece(const char *data, size_t size, bool last)
{
	memcpy(my_slot->buffer, data, size);
	my_slot->len = (uint32) size;
	if (!QuerySlotPut(my_slot, last))
		ereport(ERROR, (errcode(ERRCODE_CLIENT_GONE), errmsg("the client of an export has gone")));
	completed = last; /* then the slot is not ours any more */
	if (last)
		return;
	/* a client that reads fast must not keep questions out either */
	serve_question();
	wait_for_client();
}

/*
 * The body of the export's transaction
 */
static void
run_export(void *arg)
{
	static const ExportTarget target = {
		{begin_step, end_step}, begin_answer, put_piece, QUERY_BUFFER_SIZE};

	PG_TRY();
	{
		begin_step();
		(void) get_extension_oid("fast_ingest", false);
		end_step();
		ExportRun(&target, my_parameters, my_parameters_len);
	}
	PG_CATCH();
	{
		my_worker->end_limits();
		PG_RE_THROW();
	}
	PG_END_TRY();
	my_worker->end_limits();
}

ErrorData *
ServeExport(const ExportWorker *worker, QuerySlot *slot, const char *parameters, size_t len,
			ExportOutcome *outcome)
{
	ErrorData *error;

	my_worker = worker;
	my_slot = slot;
	my_parameters = parameters;
	my_parameters_len = len;
	begun = false;
	completed = false;
	error = RunTransaction("GET /export", run_export, NULL);
	*outcome = (ExportOutcome){begun, deadline};
	if (completed || (error != NULL && error->sqlerrcode == ERRCODE_CLIENT_GONE))
		return NULL;
	return error;
}
