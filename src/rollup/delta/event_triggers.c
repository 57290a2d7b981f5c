/*
 * event_triggers.c
 *
 * The statement triggers of fast_ingest.events and its partitions, which keep the
 * rollup in step whichever way rows come and go. A statement that names the
 * table fires those of the table, one that names a partition those of the
 * partition. A partition keeps its triggers when it is detached: then they do
 * nothing, for its rows are events no more.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "rollup/delta/delta_format.h"
#include "rollup/state/recount.h"
#include "partition/partition_times.h"
#include "db/spi.h"

PG_FUNCTION_INFO_V1(fi_events_inserted);
PG_FUNCTION_INFO_V1(fi_events_changed);
PG_FUNCTION_INFO_V1(fi_events_truncated);

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function can only be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

static void
require_rows(const Tuplestorestate *rows)
{
	if (rows == NULL)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("trigger has no transition table")));
}

/*
 * Are a relation's rows events?
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
 * AFTER INSERT: write down what the rows add
 */
Datum
fi_events_inserted(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);

	require_rows(data->tg_newtable);
	if (has_events(data->tg_relation))
		DeltaWrite(data->tg_relation, data->tg_newtable);
	PG_RETURN_POINTER(NULL);
}

/*
 * AFTER UPDATE or DELETE: users cannot be taken out of a set without looking at
 * the rows that stay, so only note which minutes must be counted again
 */
Datum
fi_events_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);

	require_rows(data->tg_oldtable);
	if (has_events(data->tg_relation))
		RecountMarkRows(data->tg_relation, data->tg_oldtable, data->tg_newtable);
	PG_RETURN_POINTER(NULL);
}

/*
 * AFTER TRUNCATE: of the table, empty the rollup; of a partition, count what it
 * held again
 */
Datum
fi_events_truncated(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);
	Relation relation = data->tg_relation;
	SavedUser user;

	if (!has_events(relation))
		PG_RETURN_POINTER(NULL);
	if (relation->rd_rel->relispartition)
	{
		TimeRangeList *spans = PartitionTimesOf(RelationGetRelid(relation)).spans;

		for (int i = 0; i < spans->n; i++)
			RecountMark(spans->spans[i].low, spans->spans[i].high, 0);
		PG_RETURN_POINTER(NULL);
	}

	user = ActAsRollupOwner();
	SPI_connect();
	(void) SpiRun("TRUNCATE fast_ingest.rollup, fast_ingest.event_names,"
				  " fast_ingest.rollup_delta, fast_ingest.rollup_dirty, fast_ingest.dropped",
				  SPI_OK_UTILITY);
	SPI_finish();
	ActAsCallerAgain(user);
	PG_RETURN_POINTER(NULL);
}
