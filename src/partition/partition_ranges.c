/*
 * partition_ranges.c
 *
 * Reads the bounds of all partitions, the user's as well, from the relation cache.
 */
#include "postgres.h"

#include "partition/partition_ranges.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "db/own_tables.h"
#include "partition/current_partitions.h"

TimestampTz
PartitionBoundTime(const PartitionBoundInfoData *bounds, int bound)
{
	TimestampTz time;

	if (bound < 0 || bounds->kind[bound][0] == PARTITION_RANGE_DATUM_MINVALUE)
		return MIN_TIMESTAMP;
	if (bound >= bounds->ndatums || bounds->kind[bound][0] == PARTITION_RANGE_DATUM_MAXVALUE)
		return END_TIMESTAMP;
	/* a bound may be infinite */
	time = DatumGetTimestampTz(bounds->datums[bound][0]);
	return Min(Max(time, MIN_TIMESTAMP), END_TIMESTAMP);
}

/*
 * Open the table with all its partitions known
 */
static Relation
open_events(void)
{
	CurrentPartitionsLoad();
	return table_open(OwnTable("events"), AccessShareLock);
}

int
PartitionRanges(bool with_default, TimestampTz **lowers, TimestampTz **uppers)
{
	Relation events = open_events();
	PartitionDesc desc = RelationGetPartitionDesc(events, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	int room = bounds == NULL ? 1 : bounds->ndatums + 2;
	int n = 0;

	*lowers = palloc(room * sizeof(TimestampTz));
	*uppers = palloc(room * sizeof(TimestampTz));
	if (with_default && bounds != NULL && bounds->default_index >= 0)
	{
		(*lowers)[n] = MIN_TIMESTAMP;
		(*uppers)[n++] = END_TIMESTAMP;
	}
	else
	{
		for (int bound = 0; bounds != NULL && bound <= bounds->ndatums; bound++)
		{
			if (bounds->indexes[bound] < 0)
				continue;
			(*lowers)[n] = PartitionBoundTime(bounds, bound - 1);
			(*uppers)[n++] = PartitionBoundTime(bounds, bound);
		}
	}
	table_close(events, AccessShareLock);
	return n;
}

int
DayPartitions(int32 first, int32 last, DayPartition **partitions)
{
	Relation events = table_open(OwnTable("events"), AccessShareLock);
	PartitionDesc desc = RelationGetPartitionDesc(events, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	int n = 0;

	*partitions = palloc(Max(desc->nparts, 1) * sizeof(DayPartition));
	for (int bound = 0; bounds != NULL && bound <= bounds->ndatums; bound++)
	{
		TimestampTz low = PartitionBoundTime(bounds, bound - 1);
		int64 day = low / USECS_PER_DAY + UNIX_EPOCH_OFFSET_DAYS;
		Oid partition;
		char kind;

		if (bounds->indexes[bound] < 0 || low % USECS_PER_DAY != 0 ||
			PartitionBoundTime(bounds, bound) != low + USECS_PER_DAY || day < first || day > last)
			continue;
		partition = desc->oids[bounds->indexes[bound]];
		kind = get_rel_relkind(partition);
		if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE)
			(*partitions)[n++] = (DayPartition){partition, (int32) day};
	}
	table_close(events, AccessShareLock);
	return n;
}
