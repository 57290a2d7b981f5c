/*
 * event_triggers.c
 *
 * The statement triggers of fast_ingest.events and its partitions. They note every change of
 * rows for the rollup, whichever way it is made. A statement that names the table fires the
 * table's triggers, one that names a partition fires those of the partition. A detached
 * partition keeps its triggers, but they do nothing, as its rows are no longer events.
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "partitioning/partbounds.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "partition/partition_times.h"
#include "rollup/delta/delta_write.h"
#include "rollup/state/recount.h"

PG_FUNCTION_INFO_V1(fi_events_inserted);
PG_FUNCTION_INFO_V1(fi_events_changed);
PG_FUNCTION_INFO_V1(fi_events_truncated);

static TriggerData *
require_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function can only be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

static void
require_transition_table(const Tuplestorestate *rows)
{
	if (rows == NULL)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("trigger has no transition table")));
}

/*
 * Is a relation fast_ingest.events, or a partition of it that is not detached?
 */
static bool
has_events(Relation relation)
{
	Oid events = OwnTable("events");

	return RelationGetRelid(relation) == events ||
		   (relation->rd_rel->relispartition &&
			list_member_oid(get_partition_ancestors(RelationGetRelid(relation)), events));
}

/*
 * AFTER INSERT: write what the rows add to the rollup as deltas
 */
Datum
fi_events_inserted(PG_FUNCTION_ARGS)
{
	TriggerData *data = require_trigger(fcinfo);

	require_transition_table(data->tg_newtable);
	if (has_events(data->tg_relation))
		DeltaWrite(data->tg_relation, data->tg_newtable);
	PG_RETURN_POINTER(NULL);
}

/*
 * AFTER UPDATE or DELETE: mark the minutes that must be counted again. Whether a user is still in
 * a set depends on the rows that stay.
 */
Datum
fi_events_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = require_trigger(fcinfo);

	require_transition_table(data->tg_oldtable);
	if (has_events(data->tg_relation))
		RecountMarkRows(data->tg_relation, data->tg_oldtable, data->tg_newtable);
	PG_RETURN_POINTER(NULL);
}

/*
 * AFTER TRUNCATE: empty the rollup for the table; for a partition, mark the times that it takes
 * to be counted again
 */
Datum
fi_events_truncated(PG_FUNCTION_ARGS)
{
	TriggerData *data = require_trigger(fcinfo);
	Relation relation = data->tg_relation;
	SavedUser user;

	if (!has_events(relation))
		PG_RETURN_POINTER(NULL);
	if (relation->rd_rel->relispartition)
	{
		TimeRangeList *times = PartitionTimesOf(RelationGetRelid(relation)).ranges;

		for (int i = 0; i < times->n; i++)
			RecountMark(times->ranges[i].low, times->ranges[i].high, 0);
		PG_RETURN_POINTER(NULL);
	}

	user = ActAsRollupOwner();
	SPI_connect();
	(void) SpiRun("TRUNCATE fast_ingest.rollup, fast_ingest.event_names,"
				  " fast_ingest.rollup_delta, fast_ingest.recount, fast_ingest.lost_rows",
				  SPI_OK_UTILITY);
	SPI_finish();
	ActAsCallerAgain(user);
	PG_RETURN_POINTER(NULL);
}
