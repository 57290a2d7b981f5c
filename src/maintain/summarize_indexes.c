/*
 * summarize_indexes.c
 *
 * A BRIN index knows nothing of block ranges that were filled since VACUUM or this step
 * last looked, and scans read all of them. The lock is that of VACUUM: inserts go on.
 */
#include "postgres.h"

#include "maintain/maintenance_steps.h"

#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "partition/equip_partition.h"
#include "partition/partition_ranges.h"
#include "shared/maintenance_request.h"

#define SELECT_INDEXES \
	"SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid" \
	"  JOIN pg_am a ON a.oid = c.relam" \
	" WHERE i.indrelid = $1 AND a.amname = 'brin' AND c.relkind = 'i'" \
	"  AND pg_has_role(c.relowner, 'USAGE')"

typedef struct
{
	MemoryContext caller;
	List *indexes; /* their Oids */
} IndexList;

/*
 * List the BRIN indexes of the partitions of yesterday and today
 */
static void
find_indexes(void *arg)
{
	IndexList *list = arg;
	int32 today = DayOf(GetCurrentTimestamp());
	Oid type = OIDOID;
	SavedUser user;
	DayPartition *partitions;
	int n;

	ExtensionLock();
	WaitBriefly();
	user = ActAsEventsOwner();
	n = DayPartitions(today - 1, today, &partitions);
	for (int i = 0; i < n; i++)
	{
		Datum value = ObjectIdGetDatum(partitions[i].partition);
		MemoryContext transaction;

		(void) SpiSelect(SELECT_INDEXES, 0, 1, &type, &value);
		transaction = MemoryContextSwitchTo(list->caller);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool isnull;
			Datum index = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);

			list->indexes = lappend_oid(list->indexes, DatumGetObjectId(index));
		}
		MemoryContextSwitchTo(transaction);
	}
	ActAsCallerAgain(user);
}

typedef struct
{
	MemoryContext caller;
	Oid index;
	int64 ranges; /* block ranges that were summarized */
	char *partition_name;
	char *index_name;
} Summary;

static void
summarize_index(void *arg)
{
	Summary *summary = arg;
	Oid type = OIDOID;
	Datum value = ObjectIdGetDatum(summary->index);
	Oid partition = IndexGetRelation(summary->index, true);
	SavedUser user;

	/* it may have been dropped since */
	if (!OidIsValid(partition))
		return;
	ExtensionLock();
	WaitBriefly();
	user = ActAsEventsOwner();
	(void) SpiRunWith("SELECT brin_summarize_new_values($1)::bigint", SPI_OK_SELECT, 1, &type,
					  &value);
	summary->ranges = SpiInt64(1);
	summary->partition_name = MemoryContextStrdup(summary->caller, QualifiedName(partition));
	summary->index_name = MemoryContextStrdup(summary->caller, QualifiedName(summary->index));
	ActAsCallerAgain(user);
}

ErrorData *
SummarizeIndexes(void)
{
	IndexList list = {.caller = CurrentMemoryContext};
	ErrorData *error = RunTransaction("looking for BRIN indexes", find_indexes, &list);
	ListCell *cell;

	foreach (cell, list.indexes)
	{
		Summary summary = {.caller = CurrentMemoryContext, .index = lfirst_oid(cell)};

		if (error == NULL || ErrorIsOfLock(error->sqlerrcode))
			error = RunTransaction("summarizing a BRIN index", summarize_index, &summary);
		if (error == NULL && summary.ranges > 0)
			MaintenanceRequestAddRow(
				"summarized", summary.partition_name,
				psprintf(INT64_FORMAT " block ranges of %s", summary.ranges, summary.index_name));
	}
	/* who has the lock may be VACUUM, which does the same */
	return error != NULL && ErrorIsOfLock(error->sqlerrcode) ? NULL : error;
}
