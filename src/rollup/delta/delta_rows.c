/*
 * delta_rows.c
 *
 * Visits the groups of deltas.
 */
#include "postgres.h"

#include "rollup/delta/delta_rows.h"

#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/scan_own_table.h"
#include "rollup/delta/delta_cache.h"

/* What is visited. */
typedef struct
{
	const char *event_name;
	TimeRange range;
	DeltaRowVisitor visitor;
	void *arg;
} DeltaVisit;

/*
 * Find the number of a string; the number of strings if it is not there
 */
static uint32
find_string(const DeltaReader *reader, const char *wanted)
{
	uint32 number;

	for (number = 0; number < reader->header->nstrings; number++)
	{
		uint32 len;
		const char *text = DeltaString(reader, number, &len);

		if (IsText(text, (int) len, wanted))
			break;
	}
	return number;
}

static void
visit_section(const LoadedDelta *delta, const DeltaSectionReader *section, uint32 *numbers,
			  const DeltaVisit *visit)
{
	const DeltaReader *reader = &delta->reader;
	const uint16 *ref = section->refs;
	const uint32 *offset = section->offsets;
	uint32 name = 0;

	if (visit->event_name != NULL)
	{
		name = find_string(reader, visit->event_name);
		if (name == reader->header->nstrings)
			return;
	}
	for (uint32 i = 0; i < section->ngroups; i++)
	{
		const DeltaGroup *group = &section->groups[i];
		TimestampTz bucket = DeltaBucket(group);

		if ((visit->event_name == NULL || group->event_name == name) &&
			bucket >= visit->range.low && bucket < visit->range.high)
		{
			uint32 event_name_len;
			uint32 scope_len;
			uint32 key_len;
			DeltaRow row;

			row.bucket = bucket;
			row.event_name = DeltaString(reader, group->event_name, &event_name_len);
			row.scope = DeltaString(reader, group->scope, &scope_len);
			row.key = DeltaString(reader, group->key, &key_len);
			row.event_name_len = (int) event_name_len;
			row.scope_len = (int) scope_len;
			row.key_len = (int) key_len;
			row.events = group->events;
			row.nusers = group->nrefs;
			row.hashes = reader->users;
			row.numbers = numbers;
			row.users = ref;
			row.offsets = offset;
			visit->visitor(&row, visit->arg);
		}
		ref += group->nrefs;
		if (offset != NULL)
			offset += group->events;
	}
}

void
DeltaRows(Snapshot snapshot, const UserNumbersState *state, int breakdown, const char *event_name,
		  TimeRange range, DeltaRowVisitor visitor, void *arg)
{
	DeltaVisit visit = {event_name, range, visitor, arg};
	OwnTableScan rows;

	OwnTableScanBegin(&rows, "rollup_delta", AccessShareLock, snapshot);
	DeltaCacheBegin(rows.table, state);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		LoadedDelta *delta;

		if (DatumGetTimestampTz(slot_getattr(rows.slot, DELTA_COLUMN_LAST, &isnull)) < range.low ||
			DatumGetTimestampTz(slot_getattr(rows.slot, DELTA_COLUMN_FIRST, &isnull)) >= range.high)
		{
			DeltaCacheKeep(rows.slot);
			continue;
		}
		delta = DeltaCacheLoad(rows.slot);
		for (int i = 0; i < delta->nsections; i++)
			if (delta->sections[i].breakdown == breakdown)
				visit_section(delta, &delta->sections[i],
							  state != NULL && delta->cached ? delta->numbers : NULL, &visit);
		if (!delta->cached)
			pfree(delta);
	}
	DeltaCacheEnd();
	OwnTableScanEnd(&rows);
}
