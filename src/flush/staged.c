/*
 * staged.c
 *
 * The tuples of records are shown to SQL as a relation named "staged" (an ephemeral
 * named relation, as the transition tables of triggers are), so that one
 * INSERT ... SELECT stores them all and no value is turned into text on the way.
 */
#include "postgres.h"

#include "flush/staged.h"

#include "executor/tuptable.h"
#include "utils/memutils.h"

#include "event/tuple.h"
#include "partition/create_partition.h"
#include "db/spi.h"

static TupleDesc desc;
static TupleTableSlot *slot;

void
StagedInit(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	desc = EventTupleDesc();
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(caller);
}

Tuplestorestate *
StagedShow(RingRecord **records, int n, Size payload)
{
	/* room for all of it: a batch never goes to disk */
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
StagedIsStored(int32 day)
{
	return SpiRun(psprintf("SELECT FROM staged s JOIN fast_ingest.events e USING (event_key)"
						   " WHERE e.ts >= '%s 00:00:00+00' AND e.ts < '%s 00:00:00+00' LIMIT 1",
						   PartitionDayText(day), PartitionDayText(day + 1)),
				  SPI_OK_SELECT) > 0;
}
