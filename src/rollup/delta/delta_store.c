/*
 * delta_store.c
 *
 * Writes a delta as delta_format.h describes it.
 */
#include "postgres.h"

#include "rollup/delta/delta_private.h"

#include "access/heapam.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "rollup/delta/backlog.h"

static void
append_padding(StringInfo buffer)
{
	static const char zeros[4] = {0};

	appendBinaryStringInfo(buffer, zeros, (4 - buffer->len % 4) % 4);
}

/*
 * Append when the events of a section were, of each group first of those that have a user
 */
static void
append_offsets(StringInfo buffer, const SectionBuilder *section)
{
	uint32 *next = palloc(section->ngroups * sizeof(uint32));
	uint32 *offsets = palloc(section->nmembers * sizeof(uint32));
	uint32 n = 0;

	for (uint32 i = 0; i < section->ngroups; i++)
	{
		next[i] = n;
		n += section->groups[i].events;
	}
	for (int pass = 0; pass < 2; pass++)
		for (uint32 i = 0; i < section->nmembers; i++)
		{
			const SectionEvent *member = &section->members[i];

			if ((member->user < 0) == pass)
				offsets[next[member->group]++] = member->offset;
		}
	appendBinaryStringInfo(buffer, (char *) offsets, (int) (n * sizeof(uint32)));
	pfree(offsets);
	pfree(next);
}

/*
 * Append a section: its groups, and their users in the order of the groups
 */
static void
append_section(StringInfo buffer, const SectionBuilder *section)
{
	bool keeps_times = section->breakdown->keeps_times;
	DeltaSection head = {section->breakdown->id, section->ngroups, 0,
						 keeps_times ? section->nmembers : 0};
	uint32 *next = palloc(section->ngroups * sizeof(uint32));
	uint16 *refs;

	for (uint32 i = 0; i < section->ngroups; i++)
	{
		next[i] = head.nrefs;
		head.nrefs += section->groups[i].nrefs;
	}
	refs = palloc(Max(head.nrefs, 1) * sizeof(uint16));
	for (uint32 i = 0; i < section->nmembers; i++)
	{
		const SectionEvent *member = &section->members[i];

		if (member->user >= 0)
			refs[next[member->group]++] = (uint16) member->user;
	}
	appendBinaryStringInfo(buffer, (char *) &head, sizeof(head));
	appendBinaryStringInfo(buffer, (char *) section->groups,
						   (int) (section->ngroups * sizeof(DeltaGroup)));
	appendBinaryStringInfo(buffer, (char *) refs, (int) (head.nrefs * sizeof(uint16)));
	append_padding(buffer);
	if (keeps_times)
		append_offsets(buffer, section);
	pfree(refs);
	pfree(next);
}

void
DeltaStore(const DeltaBuilder *builder)
{
	StringInfoData buffer;
	DeltaHeader header = {DELTA_VERSION, builder->nusers, builder->nstrings, 0};
	Datum values[4];
	bool isnull[4] = {0};
	HeapTuple tuple;

	if (builder->events == 0 && builder->elements == 0)
		return;
	initStringInfo(&buffer);
	appendStringInfoSpaces(&buffer, VARHDRSZ);
	for (int i = 0; i < builder->nsections; i++)
		header.nsections += builder->sections[i].ngroups > 0;
	appendBinaryStringInfo(&buffer, (char *) &header, sizeof(header));
	appendBinaryStringInfo(&buffer, (char *) builder->hashes,
						   (int) (builder->nusers * sizeof(UserHash)));
	appendBinaryStringInfo(&buffer, (char *) builder->ends,
						   (int) (builder->nstrings * sizeof(uint32)));
	appendBinaryStringInfo(&buffer, builder->string_bytes.data, builder->string_bytes.len);
	append_padding(&buffer);
	for (int i = 0; i < builder->nsections; i++)
		if (builder->sections[i].ngroups > 0)
			append_section(&buffer, &builder->sections[i]);
	SET_VARSIZE(buffer.data, buffer.len);

	values[DELTA_COLUMN_EVENTS - 1] = Int32GetDatum(builder->events);
	values[DELTA_COLUMN_FIRST - 1] = TimestampTzGetDatum(builder->first);
	values[DELTA_COLUMN_LAST - 1] = TimestampTzGetDatum(builder->last);
	values[DELTA_COLUMN_GROUPS - 1] = PointerGetDatum(buffer.data);
	tuple = heap_form_tuple(RelationGetDescr(builder->table), values, isnull);
	simple_heap_insert(builder->table, tuple);
	heap_freetuple(tuple);
	pfree(buffer.data);
	BacklogAdd(builder->events);
}
