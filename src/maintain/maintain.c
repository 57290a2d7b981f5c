/*
 * maintain.c
 *
 * fi_maintain(): asks the maintenance worker to do its steps, waits, and returns what
 * it did. The worker has transactions of its own, so that nothing stays locked until
 * the caller's transaction ends, and nothing is undone if that is rolled back.
 *
 * The caller may hold locks that the worker waits for. The worker waits for none of
 * them for long, so the caller gets its answer.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "shared/maintenance_request.h"
#include "shared/shared_state.h"

#define LOOK_INTERVAL 1000 /* ms between two looks at the worker */
#define START_WAIT 10000   /* ms in which a worker that does not run may start */

PG_FUNCTION_INFO_V1(fi_maintain);

static char *
find_events_owner(void)
{
	SavedUser user = ActAsEventsOwner();
	Oid owner = GetUserId();

	ActAsCallerAgain(user);
	return GetUserNameFromId(owner, false);
}

/*
 * Raise an ERROR unless the caller may maintain the table, here and in this transaction
 */
static void
check_caller(void)
{
	const char *database = get_database_name(MyDatabaseId);

	SharedStateRequire();
	if (!OwnsRelation(OwnTable("events")))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of table fast_ingest.events"),
						errhint("Run fi_maintain() as role \"%s\", or as a member of it.",
								find_events_owner())));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("fi_maintain() cannot run in a read-only transaction"),
				 errhint("Run BEGIN READ WRITE, the same again, and COMMIT; not on a standby.")));
	if (database == NULL || strcmp(database, fi_database) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the maintenance worker works in database \"%s\", not in \"%s\"",
							   fi_database, database ? database : ""),
						errhint("Run fi_maintain() in the database of the workers, which "
								"fast_ingest.database names.")));
}

/*
 * Raise an ERROR if the worker does not run, and has had time to start. *seen_at is when
 * it was last seen to run.
 */
static void
check_worker(int64 *seen_at)
{
	WorkerSlot *slot = &Shared->maintenance;
	WorkerState state = pg_atomic_read_u32(&slot->state);
	char reason[WORKER_ERROR_SIZE];

	/* a trigger of the worker's own transaction would wait for ever */
	if (slot->pid == MyProcPid)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the maintenance worker cannot call fi_maintain()")));
	if (state == WORKER_RUNNING || state == WORKER_RETRYING)
		*seen_at = MonotonicNow();
	if (MonotonicNow() < MonotonicAfter(*seen_at, START_WAIT))
		return;
	WorkerReason(slot, reason);
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the maintenance worker does not run: %s", reason)));
}

static void
raise_error_of_worker(void)
{
	int sqlstate;
	const char *message = MaintenanceRequestError(&sqlstate);

	ereport(ERROR, (errcode(sqlstate), errmsg("%s", message),
					errdetail("The maintenance worker could not finish. What it did before stays "
							  "done.")));
}

/*
 * Ask the worker, after the callers that came before, and wait for its answer
 */
static void
ask_worker(void)
{
	int64 seen_at = MonotonicNow();

	check_worker(&seen_at);
	while (!MaintenanceRequestMake(GetUserId()))
	{
		(void) MaintenanceRequestAwait(LOOK_INTERVAL);
		check_worker(&seen_at);
	}
	for (;;)
	{
		WorkerWake(&Shared->maintenance);
		switch (MaintenanceRequestAwait(LOOK_INTERVAL))
		{
			case MAINTENANCE_DONE:
				return;
			case MAINTENANCE_FAILED:
				raise_error_of_worker();
				break;
			default:
				check_worker(&seen_at);
		}
	}
}

static void
put_row(ReturnSetInfo *result, const MaintenanceRow *row)
{
	const char *texts[] = {row->action, row->partition, row->detail};
	Datum values[lengthof(texts)] = {0};
	bool isnull[lengthof(texts)];

	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		isnull[i] = texts[i][0] == '\0';
		if (!isnull[i])
			values[i] = CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

static void
put_rows(ReturnSetInfo *result)
{
	MaintenanceRow row;
	uint32 position = 0;
	uint32 omitted = MaintenanceRequestOmittedRows();

	while (MaintenanceRequestNextRow(&position, &row))
		put_row(result, &row);
	if (omitted > 0)
		put_row(result, &(MaintenanceRow){"omitted", "", psprintf("%u more rows", omitted)});
}

static void
leave_request(int code, Datum arg)
{
	MaintenanceRequestLeave();
}

/*
 * fi_maintain() RETURNS TABLE (action text, partition text, detail text)
 */
Datum
fi_maintain(PG_FUNCTION_ARGS)
{
	check_caller();
	InitMaterializedSRF(fcinfo, 0);
	PG_ENSURE_ERROR_CLEANUP(leave_request, (Datum) 0);
	{
		ask_worker();
		put_rows((ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_END_ENSURE_ERROR_CLEANUP(leave_request, (Datum) 0);
	MaintenanceRequestLeave();
	return (Datum) 0;
}
