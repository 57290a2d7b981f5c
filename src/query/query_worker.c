/*
 * query_worker.c
 *
 * The query worker computes the answers to questions (questions.c has the list), and makes those
 * to GET /export (serve_export.c).
 *
 * The way of a query:
 * 1. A listener admits the request, checks that its parameters are text and queues it
 *    (http/answer/query_requests.c).
 * 2. When the slot of a query worker is free, the listener copies the parameters into the
 *    slot and wakes the worker (shared/query_slot.h describes the protocol).
 * 3. The worker copies the slot into a QueryJob and begins a transaction, which is read-only but
 *    for a question that writes. In it,
 *    a function of query/answers reads the parameters (query/parameters), computes the answer
 *    (rollup/metrics, rollup/questions) and writes the body.
 * 4. The transaction ends before the first byte is sent: a slow reader keeps no snapshot open.
 * 5. The worker hands the body over in pieces that fit into the slot. The listener copies
 *    each of them to the client's response and frees the slot after the last one.
 *
 * An error is answered, too: 400 or 422 for what the client asked for, 503 for what another
 * try may cure, and 500 for the rest. The deadline of a query includes its wait for the slot.
 *
 * On a standby, which has no maintenance worker, it also publishes API keys: see
 * auth/key_publish.h.
 *
 * SIGINT cancels the query that runs. It has no effect between two queries. SIGTERM ends the
 * process at once, as it ends a backend.
 */
#include "postgres.h"

#include <microhttpd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/extension.h"
#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "auth/key_publish.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error_json.h"
#include "base/settings.h"
#include "db/error_class.h"
#include "db/transaction.h"
#include "query/questions.h"
#include "query/serve_export.h"
#include "shared/key_image.h"
#include "shared/query_slot.h"
#include "worker/wait_for_extension.h"
#include "worker/worker.h"

#define IDLE_WAIT 1000	   /* ms */
#define EXTENSION_WAIT 200 /* ms between two searches for an extension that is missing */
#define STANDBY_WAIT 500   /* ms between two searches for changed API keys on a standby */

/* The query that the worker works on, and its answer. */
typedef struct
{
	QueryKind kind;
	int64 deadline;	  /* see clock.h */
	char *parameters; /* name NUL value NUL ... */
	size_t parameters_len;

	/* the answer */
	unsigned int status; /* of HTTP */
	QueryAnswer answer;
} QueryJob;

static QuerySlot *my_slot;
static QuerySlot *my_export_slot;
static MemoryContext job_context;
static volatile sig_atomic_t cancellable = false;

static void
handle_sigint(SIGNAL_ARGS)
{
	if (cancellable)
		StatementCancelHandler(postgres_signal_arg);
}

/*
 * Wake all listeners: the state of this worker or of its slot has changed
 */
static void
wake_listeners(void)
{
	for (int i = 0; i < fi_listeners; i++)
		WorkerWake(&Shared->pairs[i].listener);
}

static void
leave_query_slot(int code, Datum arg)
{
	QuerySlotLeave(my_slot);
	QuerySlotLeave(my_export_slot);
	wake_listeners();
}

/*
 * From here until end_limits, SIGINT and the deadline cancel what the worker does
 */
static void
begin_limits(int64 deadline)
{
	cancellable = true;
	enable_timeout_after(STATEMENT_TIMEOUT, Max((int) MonotonicLeft(MonotonicNow(), deadline), 1));
}

static void
end_limits(void)
{
	cancellable = false;
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
}

/*
 * The body of a query's transaction
 */
static void
compute_answer(void *arg)
{
	QueryJob *job = arg;

	PG_TRY();
	{
		begin_limits(job->deadline);
		(void) get_extension_oid("fast_ingest", false);
		Questions[job->kind].answer(&job->answer, job->parameters, job->parameters_len);
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		end_limits();
		PG_RE_THROW();
	}
	PG_END_TRY();
	end_limits();
}

/*
 * Is the extension there? If not, the worker's slot says why.
 */
static bool
find_extension(void)
{
	WorkerSlot *worker = &my_slot->worker;
	uint32 before = pg_atomic_read_u32(&worker->state);
	bool exists = ExtensionFind(worker);

	if (exists)
		WorkerSetState(worker, WORKER_RUNNING, NULL);
	if (pg_atomic_read_u32(&worker->state) != before)
		wake_listeners();
	return exists;
}

static void
clear_answer(QueryJob *job)
{
	job->answer.csv = false;
	resetStringInfo(&job->answer.text);
	resetStringInfo(&job->answer.next_cursor);
}

/*
 * Replace the answer by an error
 */
static void
set_error(QueryJob *job, unsigned int status, const char *message)
{
	clear_answer(job);
	job->status = status;
	AppendMessageJson(&job->answer.text, ERROR_JSON_BEGIN, message);
}

/*
 * What pg_stat_activity shows while a query runs. It has no parameters, because clients can
 * put anything into them, and the server logs the activity of a process that crashes or is
 * in a deadlock.
 */
static const char *
describe_activity(const QueryJob *job)
{
	return Questions[job->kind].name;
}

/*
 * Answer with the error of the transaction. An error in what the client asked for is the
 * client's. Any other error is ours, and is logged. The log shows no parameters of the query,
 * because clients can put anything into them.
 */
static void
set_error_of_transaction(QueryJob *job, const ErrorData *error)
{
	const char *message = error->message ? error->message : "unknown error";
	char description[WORKER_ERROR_SIZE];

	/* an error of a statement may quote an event; its description does not */
	(void) ErrorDescribe(error, description);
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			set_error(job, MHD_HTTP_BAD_REQUEST, error->context == NULL ? message : description);
			return;
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			set_error(job, MHD_HTTP_UNPROCESSABLE_CONTENT, message);
			return;
	}

	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
	{
		strlcpy(description,
				MonotonicNow() >= job->deadline ? QUERY_TIMEOUT_MESSAGE : "the query was cancelled",
				sizeof(description));
		WorkerSetError(&my_slot->worker, description);
	}
	else if (!IsTransactionState() && !find_extension())
	{
		/* the extension may have been dropped while the query waited for a lock */
		set_error(job, MHD_HTTP_SERVICE_UNAVAILABLE, my_slot->worker.reason);
		return;
	}
	else
		WorkerReportError(error, psprintf("It was raised by %s.", describe_activity(job)));

	if (ErrorIsTransient(error->sqlerrcode))
		set_error(job, MHD_HTTP_SERVICE_UNAVAILABLE, description);
	else
		set_error(job, MHD_HTTP_INTERNAL_SERVER_ERROR, "internal error: see the server log");
}

/*
 * Send the answer in pieces, each as soon as the listener has taken the one before
 */
static void
send_answer(QueryJob *job, QuerySlot *slot)
{
	size_t sent = 0;
	bool last;

	slot->status = job->status;
	slot->csv = job->answer.csv;
	slot->answer_len = job->answer.text.len;
	strlcpy(slot->next_cursor, job->answer.next_cursor.data, QUERY_CURSOR_SIZE);
	do
	{
		slot->len = Min(job->answer.text.len - sent, QUERY_BUFFER_SIZE);
		memcpy(slot->buffer, job->answer.text.data + sent, slot->len);
		sent += slot->len;
		last = sent == (size_t) job->answer.text.len;
		if (!QuerySlotPut(slot, last))
		{
			wake_listeners();
			return;
		}
		while (!last && QuerySlotReadState(slot) == SLOT_PIECE)
		{
			if (IsTransactionState())
				CHECK_FOR_INTERRUPTS();
			else
				(void) WorkerHandleInterrupts();
			WorkerWait(IDLE_WAIT);
		}
	} while (!last);
}

/*
 * Are the transactions that begin from now on read-only?
 */
static void
set_read_only(bool read_only)
{
	SetConfigOption("default_transaction_read_only", read_only ? "on" : "off", PGC_SUSET,
					PGC_S_OVERRIDE);
}

/*
 * Compute the answer; returns NULL or the error. A rolled back transaction is tried again
 * until the deadline: on a standby, replay cancels a query whose snapshot is in its way, and
 * a new snapshot is not.
 */
static ErrorData *
run_query(QueryJob *job)
{
	for (;;)
	{
		ErrorData *error;

		set_read_only(!Questions[job->kind].writes);
		error = RunTransaction(describe_activity(job), compute_answer, job);
		set_read_only(true);
		if (error == NULL ||
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TRANSACTION_ROLLBACK ||
			MonotonicNow() >= job->deadline)
			return error;
		clear_answer(job);
	}
}

/*
 * The same between two pieces of an export, whose transaction goes on: in a subtransaction, which
 * sees what is committed now. The body:
 */
static void
compute_answer_beside_export(void *job)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not connect to SPI")));
	PushActiveSnapshot(GetLatestSnapshot());
	compute_answer(job);
	PopActiveSnapshot();
	SPI_finish();
}

static ErrorData *
run_query_beside_export(QueryJob *job)
{
	ErrorData *error;

	pgstat_report_activity(STATE_RUNNING, describe_activity(job));
	error = RunSubtransaction(compute_answer_beside_export, job);
	pgstat_report_activity(STATE_RUNNING, "GET /export");
	return error;
}

/*
 * Read the query in a slot into a job, in the current memory context
 */
static QueryJob
read_query(const QuerySlot *slot)
{
	QueryJob job = {.status = MHD_HTTP_OK};

	job.kind = slot->kind;
	job.deadline = slot->deadline;
	job.parameters_len = slot->len;
	job.parameters = palloc(slot->len + 1);
	memcpy(job.parameters, slot->buffer, slot->len);
	job.parameters[slot->len] = '\0';
	initStringInfo(&job.answer.text);
	initStringInfo(&job.answer.next_cursor);
	return job;
}

/*
 * Answer the query in the slot, within the transaction of an export or outside of any
 */
static void
serve_query(void)
{
	QueryJob job = read_query(my_slot);
	ErrorData *error = NULL;

	if (!IsTransactionState())
		error = run_query(&job);
	else if (!Questions[job.kind].writes)
		error = run_query_beside_export(&job);
	else /* the transaction of an export is read-only */
		set_error(&job, MHD_HTTP_SERVICE_UNAVAILABLE,
				  "the query worker is making an export: try again when that has ended");
	if (error != NULL)
		set_error_of_transaction(&job, error);
	send_answer(&job, my_slot);
}

/*
 * Callback of an export that waits for its client: answer a question, if there is one
 */
static void
serve_question(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;

	if (QuerySlotClear(my_slot))
		wake_listeners();
	if (!QuerySlotBegin(my_slot))
		return;
	context = AllocSetContextCreate(caller, "fast_ingest question", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	serve_query();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/*
 * Make the export in the slot. An error is answered before the first piece; behind it, the client
 * sees that the answer is incomplete, and the log has the error.
 */
static void
serve_export(void)
{
	static const ExportWorker worker = {begin_limits, end_limits, serve_question};
	QueryJob job = read_query(my_export_slot);
	ExportOutcome outcome;
	ErrorData *error =
		ServeExport(&worker, my_export_slot, job.parameters, job.parameters_len, &outcome);

	if (error != NULL && outcome.begun)
	{
		QuerySlotLeave(my_export_slot);
		WorkerReportError(error, "An export was broken off.");
	}
	else if (error != NULL)
	{
		job.deadline = outcome.deadline;
		set_error_of_transaction(&job, error);
		send_answer(&job, my_export_slot);
	}
	/* this worker may take the next one */
	wake_listeners();
}

/*
 * On a standby: publish the API keys that were replayed, so that listeners know them
 */
static void
publish_replayed_keys(bool ready, uint64 generation)
{
	if (!KeyPublishIsDueOnStandby())
		return;
	if (ready)
		KeyPublish(&my_slot->worker);
	else if (pg_atomic_read_u32(&my_slot->worker.state) == WORKER_WAITING)
		KeyPublishForget(generation);
}

static long
choose_wait(bool ready)
{
	return !ready ? EXTENSION_WAIT : RecoveryInProgress() ? STANDBY_WAIT : IDLE_WAIT;
}

void
QueryMain(Datum arg)
{
	bool ready;
	uint64 keys_generation;

	my_slot = &QuerySlots[DatumGetInt32(arg)];
	my_export_slot = &ExportSlots[DatumGetInt32(arg)];
	/*
	 * Callbacks run in reverse order. WorkerStart registers the one that marks the worker as
	 * stopped, so listeners that leave_query_slot wakes already see it stopped.
	 */
	before_shmem_exit(leave_query_slot, (Datum) 0);
	WorkerEndAtOnce();
	WorkerStart(&my_slot->worker, fi_database);
	pqsignal(SIGINT, handle_sigint);
	set_read_only(true);
	job_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest query", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContextReset(job_context);
		MemoryContextSwitchTo(job_context);
		/* before interrupts are handled, which would log the shutdown as a fatal error */
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();

		if (QuerySlotClear(my_slot) | QuerySlotClear(my_export_slot))
			wake_listeners();
		keys_generation = KeyImageGeneration();
		ready = pg_atomic_read_u32(&my_slot->worker.state) == WORKER_RUNNING || find_extension();
		publish_replayed_keys(ready, keys_generation);
		if (QuerySlotBegin(my_slot))
			serve_query();
		else if (QuerySlotBegin(my_export_slot))
			serve_export();
		else
		{
			WorkerWait(choose_wait(ready));
			pgstat_report_stat(true);
		}
	}
}
