/*
 * delta_read.c
 *
 * Takes deltas apart, where they are. Every number in them is checked before
 * anyone goes by it: a damaged row is an ERROR and not a crash.
 */
#include "postgres.h"

#include "rollup/delta/delta_format.h"

#include "base/compat.h"

static pg_noreturn void damaged(void);

static void
damaged(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("a row of fast_ingest.rollup_delta is damaged")));
}

/*
 * Take bytes of a delta, which must be there
 */
static const void *
take(DeltaReader *reader, uint64 size)
{
	const char *start = reader->next;

	size = (size + 3) & ~UINT64CONST(3);
	if (size > (uint64) (reader->end - start))
		damaged();
	reader->next += size;
	return start;
}

void
DeltaRead(DeltaReader *reader, const struct varlena *groups)
{
	const DeltaHeader *header;

	reader->next = VARDATA(groups);
	reader->end = (const char *) groups + VARSIZE(groups);
	reader->header = header = take(reader, sizeof(DeltaHeader));
	if (header->version != DELTA_VERSION)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a row of fast_ingest.rollup_delta has version %u: expected %d",
							   header->version, DELTA_VERSION)));
	reader->users = take(reader, (uint64) header->nusers * sizeof(UserHash));
	reader->ends = take(reader, (uint64) header->nstrings * sizeof(uint32));
	for (uint32 i = 1; i < header->nstrings; i++)
		if (reader->ends[i] < reader->ends[i - 1])
			damaged();
	reader->strings = take(reader, header->nstrings == 0 ? 0 : reader->ends[header->nstrings - 1]);
	reader->sections_left = header->nsections;
}

/*
 * Do all numbers in a section stand for something?
 */
static void
check_section(const DeltaReader *reader, const DeltaSectionReader *section, uint32 nrefs)
{
	uint64 refs = 0;

	for (uint32 i = 0; i < section->ngroups; i++)
	{
		const DeltaGroup *group = &section->groups[i];

		refs += group->nrefs;
		if (group->event_name >= reader->header->nstrings ||
			group->scope >= reader->header->nstrings || group->key >= reader->header->nstrings)
			damaged();
	}
	if (refs != nrefs)
		damaged();
	for (uint32 i = 0; i < nrefs; i++)
		if (section->refs[i] >= reader->header->nusers)
			damaged();
}

bool
DeltaNextSection(DeltaReader *reader, DeltaSectionReader *section)
{
	const DeltaSection *head;

	if (reader->sections_left-- == 0)
		return false;
	head = take(reader, sizeof(DeltaSection));
	section->breakdown = (int) head->breakdown;
	section->ngroups = head->ngroups;
	section->groups = take(reader, (uint64) head->ngroups * sizeof(DeltaGroup));
	section->refs = take(reader, (uint64) head->nrefs * sizeof(uint16));
	check_section(reader, section, head->nrefs);
	return true;
}
