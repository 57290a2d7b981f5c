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

/* A string that groups must have, as a delta has it. */
typedef struct
{
	bool is_any;
	uint32 number;
} WantedString;

/*
 * Find a string in a delta; any for NULL. False if it is not there.
 */
static bool
find_string(const DeltaReader *reader, const char *text, WantedString *wanted)
{
	uint32 len = text ? (uint32) strlen(text) : 0;

	wanted->is_any = text == NULL;
	for (wanted->number = 0; !wanted->is_any && wanted->number < reader->header->nstrings;
		 wanted->number++)
	{
		uint32 string_len;
		const char *string = DeltaString(reader, wanted->number, &string_len);

		if (string_len == len && memcmp(string, text, len) == 0)
			return true;
	}
	return wanted->is_any;
}

static inline bool
is_wanted(const WantedString *wanted, uint16 number)
{
	return wanted->is_any || wanted->number == number;
}

/*
 * Call the visitor for the groups of a section
 */
static void
visit_section(const LoadedDelta *delta, const DeltaSectionReader *section, uint32 *numbers,
			  const DeltaSelection *selection, DeltaRowVisitor visitor, void *arg)
{
	const DeltaReader *reader = &delta->reader;
	const uint16 *ref = section->refs;
	const uint32 *offset = section->offsets;
	WantedString event_name;
	WantedString scope;
	WantedString key;

	if (!find_string(reader, selection->event_name, &event_name) ||
		!find_string(reader, selection->scope, &scope) ||
		!find_string(reader, selection->key, &key))
		return;
	for (uint32 i = 0; i < section->ngroups; i++)
	{
		const DeltaGroup *group = &section->groups[i];
		TimestampTz bucket = DeltaBucket(group);

		if (is_wanted(&event_name, group->event_name) && is_wanted(&scope, group->scope) &&
			is_wanted(&key, group->key) && bucket >= selection->range.low &&
			bucket < selection->range.high)
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
			visitor(&row, arg);
		}
		ref += group->nrefs;
		if (offset != NULL)
			offset += group->events;
	}
}

void
DeltaRows(Snapshot snapshot, const UserNumbersState *state, const DeltaSelection *selection,
		  DeltaRowVisitor visitor, void *arg)
{
	OwnTableScan rows;

	OwnTableScanBegin(&rows, "rollup_delta", AccessShareLock, snapshot);
	DeltaCacheBegin(rows.table, state);
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		LoadedDelta *delta;

		if (DatumGetTimestampTz(slot_getattr(rows.slot, DELTA_COLUMN_LAST, &isnull)) <
				selection->range.low ||
			DatumGetTimestampTz(slot_getattr(rows.slot, DELTA_COLUMN_FIRST, &isnull)) >=
				selection->range.high)
		{
			DeltaCacheKeep(rows.slot);
			continue;
		}
		delta = DeltaCacheLoad(rows.slot);
		for (int i = 0; i < delta->nsections; i++)
			if (delta->sections[i].breakdown == selection->breakdown)
				visit_section(delta, &delta->sections[i],
							  state != NULL && delta->cached ? delta->numbers : NULL, selection,
							  visitor, arg);
		if (!delta->cached)
			pfree(delta);
	}
	DeltaCacheEnd();
	OwnTableScanEnd(&rows);
}
