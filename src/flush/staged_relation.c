/*
 * staged_relation.c
 *
 * See staged_relation.h.
 */
#include "postgres.h"

#include "flush/staged_relation.h"

#include "executor/tuptable.h"
#include "utils/memutils.h"

#include "db/spi.h"
#include "event/tuple.h"
#include "partition/create_partition.h"

static TupleDesc desc;
static TupleTableSlot *slot;

void
StagedRelationInit(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	desc = EventTupleDesc();
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(caller);
}

Tuplestorestate *
StagedRelationShow(RingRecord **records, int n, Size payload)
{
	/* enough for all of it: a batch is never written to disk */
	int kilobytes = (int) (payload / 512) + n / 8 + 64;
	Tuplestorestate *store = tuplestore_begin_heap(false, false, kilobytes);

	for (int i = 0; i < n; i++)
	{
		ExecStoreMinimalTuple((MinimalTuple) RecordPayload(records[i]), slot, false);
		tuplestore_puttupleslot(store, slot);
	}
	ExecClearTuple(slot);

	SpiShow("staged", desc, store, n);
	return store;
}

bool
StagedRelationIsStored(int32 day)
{
	return SpiRun(psprintf("SELECT FROM staged s JOIN fast_ingest.events e USING (event_key)"
						   " WHERE e.ts >= '%s 00:00:00+00' AND e.ts < '%s 00:00:00+00' LIMIT 1",
						   PartitionDayText(day), PartitionDayText(day + 1)),
				  SPI_OK_SELECT) > 0;
}
