/*
 * restored.c
 *
 * Where the data begins and where it ends, and rows that a dump brings in place of those
 * that CREATE EXTENSION makes.
 */
#include "postgres.h"

#include "rollup/state/restored.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "rollup/state/refresh_lock.h"

PG_FUNCTION_INFO_V1(fi_row_replaced);

static bool
has_row(const char *name, Snapshot snapshot)
{
	OwnTableScan rows;
	bool found;

	OwnTableScanBegin(&rows, name, AccessShareLock, snapshot);
	found = OwnTableScanNext(&rows);
	OwnTableScanEnd(&rows);
	return found;
}

/*
 * The number in a table or sequence, 0 without one. The last one: a restore with its
 * triggers disabled has inserted it behind ours.
 */
static int64
number_in(const char *name, Snapshot snapshot)
{
	OwnTableScan rows;
	int64 number = 0;

	OwnTableScanBegin(&rows, name, AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;

		number = DatumGetInt64(slot_getattr(rows.slot, 1, &isnull));
	}
	OwnTableScanEnd(&rows);
	return number;
}

int64
RestoredUpTo(void)
{
	int64 number;

	/* any snapshot shows the same: a sequence has one version of its row */
	PushActiveSnapshot(GetLatestSnapshot());
	number = number_in("data_end", GetActiveSnapshot());
	PopActiveSnapshot();
	return number;
}

void
RestoredCheck(int64 restored, Snapshot snapshot)
{
	if (number_in("data_begin", snapshot) == restored &&
		(has_row("rollup_state", snapshot) ||
		 !(has_row("rollup", snapshot) || has_row("users", snapshot))))
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the rollup is being restored"),
					errdetail("Some of what a dump has of it is there, and some is not yet."),
					errhint("Wait until the restore has ended. If it has failed, drop the database "
							"and restore again.")));
}

/*
 * BEFORE any statement that changes a table of ours that has one row: what is inserted
 * takes the place of what is there. Waits for a refresh under way, which has read it.
 * Processes forget what they keep of the row when the transaction commits.
 */
Datum
fi_row_replaced(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	const char *name;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function can only be called as a trigger")));
	name = RelationGetRelationName(data->tg_relation);
	/* anybody may make this a trigger of a table with that name */
	if (OwnTable(name) != RelationGetRelid(data->tg_relation))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("table \"%s\" is not one of fast_ingest", name)));
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
	{
		RefreshLock();
		PushActiveSnapshot(GetLatestSnapshot());
		OwnTableScanDeleteAll(name, GetActiveSnapshot());
		PopActiveSnapshot();
	}
	CacheInvalidateRelcache(data->tg_relation);
	PG_RETURN_POINTER(NULL);
}
