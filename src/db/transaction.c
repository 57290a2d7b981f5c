/*
 * transaction.c
 *
 * Transactions of a worker, and subtransactions of anybody.
 */
#include "postgres.h"

#include "db/transaction.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "worker/wait_for_extension.h"

/*
 * Go back to a state in which the next transaction can begin
 */
static ErrorData *
recover(MemoryContext caller)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	MemoryContextSwitchTo(caller);
	error = CopyErrorData();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
	ExtensionExplain(error);
	return error;
}

ErrorData *
RunTransaction(const char *activity, TransactionBody body, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData *volatile error = NULL;

	pgstat_report_activity(STATE_RUNNING, activity);
	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		if (SPI_connect() != SPI_OK_CONNECT)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not connect to SPI")));
		PushActiveSnapshot(GetTransactionSnapshot());
		body(arg);
		PopActiveSnapshot();
		SPI_finish();
		CommitTransactionCommand();
		/* a cancellation that came during the commit has nothing left to cancel */
		QueryCancelPending = false;
	}
	PG_CATCH();
	{
		error = recover(caller);
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return error;
}

ErrorData *
RunSubtransaction(TransactionBody body, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Besides the classes of passing trouble (connection, transaction state,
 * rollback, resources, objects in use, operator intervention, system), all that
 * concerns the table and not the row: wrong or missing objects, columns, types
 * and privileges, and damaged files. An administrator will mend it, and then
 * the same event is welcome.
 */
bool
ErrorIsTransient(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
	}
	switch (sqlerrcode)
	{
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_DATA_CORRUPTED:
		case ERRCODE_INDEX_CORRUPTED:
			return true;
	}
	return false;
}
