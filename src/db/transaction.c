/*
 * transaction.c
 *
 * Running code in a transaction or a subtransaction, and catching its error.
 */
#include "postgres.h"

#include "db/transaction.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "db/extension_version.h"

/*
 * Copy the error and return to a state in which the next transaction can begin
 */
static ErrorData *
catch_error(MemoryContext caller)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	MemoryContextSwitchTo(caller);
	error = CopyErrorData();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
	ExtensionExplainError(error);
	return error;
}

ErrorData *
RunTransaction(const char *activity, TransactionBody body, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
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
		/* a cancel request that came during the commit is too late */
		QueryCancelPending = false;
	}
	PG_CATCH();
	{
		error = catch_error(caller);
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	/* that of the worker, which the end of a transaction forgets */
	CurrentResourceOwner = owner;
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
