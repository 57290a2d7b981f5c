/*
 * query_worker.c
 *
 * The query worker: answers the questions that listeners put into its slot (see
 * query_slot.h), each in a read-only transaction with a time limit. The transaction is
 * over before the first byte of its answer is sent, so that no reader, however
 * slow, keeps a snapshot open.
 *
 * On a standby it looks at the API keys, too: see auth/key_load.h.
 *
 * SIGINT cancels the query that runs, and means nothing between two of them.
 * SIGTERM ends the process at once, as it does a backend.
 */
#include "postgres.h"

#include <microhttpd.h>

#include "access/xlog.h"
#include "commands/extension.h"
#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "auth/key_publish.h"
#include "shared/key_image.h"
#include "base/compat.h"
#include "worker/wait_for_extension.h"
#include "db/error_class.h"
#include "db/transaction.h"
#include "base/clock.h"
#include "shared/query_slot.h"
#include "query/metrics_json.h"
#include "base/settings.h"
#include "worker/worker.h"

#define IDLE_WAIT 1000	   /* ms */
#define EXTENSION_WAIT 200 /* ms between two looks while it is missing */
#define STANDBY_WAIT 500   /* ms: nobody else looks at the API keys there */

typedef struct
{
	QueryKind kind;
	int64 deadline; /* see clock.h */
	char *parameters;
	size_t parameters_len;

	/* the answer */
	unsigned int status;
	bool csv;
	StringInfoData text;
	StringInfoData next_cursor;
} MetricsRun;

static QuerySlot *my_query;
static MemoryContext question_context;
static volatile sig_atomic_t cancellable = false;

static void
handle_sigint(SIGNAL_ARGS)
{
	if (cancellable)
		StatementCancelHandler(postgres_signal_arg);
}

/*
 * Let listeners see what has become of this worker or its slot
 */
static void
wake_listeners(void)
{
	for (int i = 0; i < fi_listeners; i++)
		WorkerWake(&Shared->pairs[i].listener);
}

static void
leave_query(int code, Datum arg)
{
	QuerySlotLeave(my_query);
	wake_listeners();
}

/*
 * From here on until end_limits, what is done can be cancelled, and is cancelled at
 * the deadline.
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

static void
write_answer(MetricsRun *question)
{
	if (question->kind == QUERY_METRICS)
		AnswerMetrics(&question->text, question->parameters, question->parameters_len,
					  &question->csv, &question->next_cursor);
	else
		AnswerStats(&question->text, question->parameters, question->parameters_len);
}

/*
 * The body of a question's transaction
 */
static void
answer_question(void *arg)
{
	MetricsRun *question = arg;

	PG_TRY();
	{
		begin_limits(question->deadline);
		(void) get_extension_oid("fast_ingest", false);
		write_answer(question);
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
 * Is there anything to ask about? Publishes why not.
 */
static bool
look_for_extension(void)
{
	WorkerSlot *worker = &my_query->worker;
	uint32 before = pg_atomic_read_u32(&worker->state);
	bool exists = ExtensionFind(worker);

	if (exists)
		WorkerSetState(worker, WORKER_RUNNING, NULL);
	if (pg_atomic_read_u32(&worker->state) != before)
		wake_listeners();
	return exists;
}

/*
 * Make the answer an error
 */
static void
answer_error(MetricsRun *question, unsigned int status, const char *message)
{
	question->status = status;
	question->csv = false;
	resetStringInfo(&question->text);
	resetStringInfo(&question->next_cursor);
	appendStringInfoString(&question->text, "{\"error\":");
	escape_json(&question->text, message);
	appendStringInfoChar(&question->text, '}');
}

/*
 * What pg_stat_activity shows of a question. It has no parameters: a client can put anything
 * into them, and the server logs what a process was at that dies or is in a deadlock.
 */
static const char *
path_of(const MetricsRun *question)
{
	return question->kind == QUERY_METRICS ? "GET /metrics" : "GET /stats";
}

/*
 * Make the answer that of a transaction that failed. What the client asked for
 * is the client's error; anything else is ours, and worth a line in the log, which
 * has none of the question's parameters: a client can put anything into them.
 */
static void
answer_failure(MetricsRun *question, const ErrorData *error)
{
	const char *message = error->message ? error->message : "unknown error";
	char description[WORKER_ERROR_SIZE];

	/* what was raised in a statement is about rows, and may quote an event */
	(void) ErrorDescribe(error, description);
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			answer_error(question, MHD_HTTP_BAD_REQUEST,
						 error->context == NULL ? message : description);
			return;
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			answer_error(question, MHD_HTTP_UNPROCESSABLE_CONTENT, message);
			return;
	}

	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
	{
		strlcpy(description,
				MonotonicNow() >= question->deadline ? QUERY_TIMEOUT_MESSAGE
													 : "the query was cancelled",
				sizeof(description));
		WorkerSetError(&my_query->worker, description);
	}
	else if (!look_for_extension())
	{
		/* it may have been dropped while the query waited for a lock */
		answer_error(question, MHD_HTTP_SERVICE_UNAVAILABLE, my_query->worker.reason);
		return;
	}
	else
		WorkerReportError(error, psprintf("It was raised by %s.", path_of(question)));

	if (ErrorIsTransient(error->sqlerrcode))
		answer_error(question, MHD_HTTP_SERVICE_UNAVAILABLE, description);
	else
		answer_error(question, MHD_HTTP_INTERNAL_SERVER_ERROR,
					 "internal error: see the server log");
}

/*
 * Send the answer, a piece at a time, each as soon as the one before was taken
 */
static void
send_answer(MetricsRun *question)
{
	size_t sent = 0;
	bool last;

	my_query->status = question->status;
	my_query->csv = question->csv;
	my_query->answer_len = question->text.len;
	strlcpy(my_query->next_cursor, question->next_cursor.data, QUERY_CURSOR_SIZE);
	do
	{
		my_query->len = Min(question->text.len - sent, QUERY_BUFFER_SIZE);
		memcpy(my_query->buffer, question->text.data + sent, my_query->len);
		sent += my_query->len;
		last = sent == (size_t) question->text.len;
		if (!QuerySlotPut(my_query, last))
		{
			wake_listeners();
			return;
		}
		while (!last && QuerySlotLook(my_query) == SLOT_PIECE)
		{
			(void) WorkerHandleInterrupts();
			WorkerWait(IDLE_WAIT);
		}
	} while (!last);
}

/*
 * Ask until the answer is there, or an error that is not just bad luck: on a
 * standby, replay cancels a query that is in its way, and a new snapshot is not.
 */
static ErrorData *
ask_database(MetricsRun *question)
{
	for (;;)
	{
		ErrorData *error = RunTransaction(path_of(question), answer_question, question);

		if (error == NULL ||
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TRANSACTION_ROLLBACK ||
			MonotonicNow() >= question->deadline)
			return error;
		question->csv = false;
		resetStringInfo(&question->text);
		resetStringInfo(&question->next_cursor);
	}
}

/*
 * Answer the question in the slot
 */
static void
serve_question(void)
{
	MetricsRun question = {.status = MHD_HTTP_OK};
	ErrorData *error;

	question.kind = my_query->kind;
	question.deadline = my_query->deadline;
	question.parameters_len = my_query->len;
	question.parameters = palloc(my_query->len + 1);
	memcpy(question.parameters, my_query->buffer, my_query->len);
	question.parameters[my_query->len] = '\0';
	initStringInfo(&question.text);
	initStringInfo(&question.next_cursor);

	error = ask_database(&question);
	if (error != NULL)
		answer_failure(&question, error);
	send_answer(&question);
}

/*
 * On a standby: see to it that the listeners know the API keys that were replayed
 */
static void
follow_keys(bool ready, uint64 generation)
{
	if (!KeyPublishIsDueOnStandby())
		return;
	if (ready)
		KeyPublish(&my_query->worker);
	else if (pg_atomic_read_u32(&my_query->worker.state) == WORKER_WAITING)
		KeyPublishForget(generation);
}

static long
idle_wait(bool ready)
{
	return !ready ? EXTENSION_WAIT : RecoveryInProgress() ? STANDBY_WAIT : IDLE_WAIT;
}

void
QueryMain(Datum arg)
{
	bool ready;
	uint64 keys_generation;

	my_query = &QuerySlots[DatumGetInt32(arg)];
	/* before WorkerStart has its own: a listener that is told shall see the worker stopped */
	before_shmem_exit(leave_query, (Datum) 0);
	WorkerEndAtOnce();
	WorkerStart(&my_query->worker, fi_database);
	pqsignal(SIGINT, handle_sigint);
	SetConfigOption("default_transaction_read_only", "on", PGC_SUSET, PGC_S_OVERRIDE);
	question_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest question", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContextReset(question_context);
		MemoryContextSwitchTo(question_context);
		/* before interrupts are served, which would log it as a fatal error */
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();

		if (QuerySlotClear(my_query))
			wake_listeners();
		keys_generation = KeyImageGeneration();
		ready =
			pg_atomic_read_u32(&my_query->worker.state) == WORKER_RUNNING || look_for_extension();
		follow_keys(ready, keys_generation);
		if (QuerySlotBegin(my_query))
			serve_question();
		else
		{
			WorkerWait(idle_wait(ready));
			pgstat_report_stat(true);
		}
	}
}
