/*
 * restored.c
 *
 * Compares the marks at the beginning and the end of the data, and lets a restore replace rows
 * that CREATE EXTENSION has inserted.
 */
#include "postgres.h"

#include "rollup/state/restored.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/delta/backlog.h"
#include "rollup/state/refresh_lock.h"

PG_FUNCTION_INFO_V1(fi_row_replaced);
PG_FUNCTION_INFO_V1(fi_breakdown_replaced);

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
 * Read the number in a table or sequence, 0 if it has no row. A restore with disabled triggers
 * adds its row behind ours: the last row counts.
 */
static int64
read_number(const char *name, Snapshot snapshot)
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

	/* a sequence has one version of its row, which every snapshot shows */
	PushActiveSnapshot(GetLatestSnapshot());
	number = read_number("data_end", GetActiveSnapshot());
	PopActiveSnapshot();
	return number;
}

void
RestoredCheck(int64 restored, Snapshot snapshot)
{
	if (read_number("data_begin", snapshot) == restored &&
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
 * Trigger BEFORE each statement that changes one of our tables with a single row: an inserted
 * row replaces the present one. Waits for the end of a refresh, which has read that row. When
 * the transaction commits, processes drop what they have cached of the row.
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
	/* anybody may create this trigger on a table of that name elsewhere */
	if (OwnTable(name) != RelationGetRelid(data->tg_relation))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("table \"%s\" is not one of fast_ingest", name)));
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
	{
		RefreshLock();
		PushActiveSnapshot(GetLatestSnapshot());
		OwnTableScanDeleteAll(name, GetActiveSnapshot());
		PopActiveSnapshot();
		/* a restore brings deltas, too, and no trigger counts them */
		BacklogAdd(0);
	}
	CacheInvalidateRelcache(data->tg_relation);
	PG_RETURN_POINTER(NULL);
}

/*
 * Trigger BEFORE each row that is inserted into fast_ingest.breakdowns: that of a built-in
 * breakdown, which a restore brings if it was altered, replaces the present one.
 */
Datum
fi_breakdown_replaced(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	OwnTableScan rows;
	bool isnull;
	int16 id;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BY_INSERT(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function can only be called as a trigger")));
	if (OwnTable("breakdowns") != RelationGetRelid(data->tg_relation))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("table \"%s\" is not one of fast_ingest",
							   RelationGetRelationName(data->tg_relation))));
	id = DatumGetInt16(
		heap_getattr(data->tg_trigtuple, 1, RelationGetDescr(data->tg_relation), &isnull));
	if (isnull || id >= FIRST_ADDED_BREAKDOWN)
		PG_RETURN_POINTER(data->tg_trigtuple);

	RefreshLock();
	PushActiveSnapshot(GetLatestSnapshot());
	OwnTableScanBegin(&rows, "breakdowns", RowExclusiveLock, GetActiveSnapshot());
	while (OwnTableScanNext(&rows))
		if (DatumGetInt16(slot_getattr(rows.slot, 1, &isnull)) == id)
			OwnTableScanDelete(&rows);
	OwnTableScanEnd(&rows);
	PopActiveSnapshot();
	CacheInvalidateRelcache(data->tg_relation);
	PG_RETURN_POINTER(data->tg_trigtuple);
}
