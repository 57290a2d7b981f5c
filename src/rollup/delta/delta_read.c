/*
 * delta_read.c
 *
 * Reads deltas in place. Every number in them is checked before it is used: a damaged row is
 * an ERROR and not a crash.
 */
#include "postgres.h"

#include "rollup/delta/delta_read.h"

#include "utils/timestamp.h"

#include "base/compat.h"

static pg_noreturn void report_damage(void);

static void
report_damage(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("a row of fast_ingest.rollup_delta is damaged")));
}

/*
 * Step over some bytes, padded to 4, and return where they begin. An ERROR if there are fewer.
 */
static const void *
take_bytes(DeltaReader *reader, uint64 size)
{
	const char *start = reader->next;

	size = (size + 3) & ~UINT64CONST(3);
	if (size > (uint64) (reader->end - start))
		report_damage();
	reader->next += size;
	return start;
}

void
DeltaRead(DeltaReader *reader, const struct varlena *groups)
{
	const DeltaHeader *header;

	reader->next = VARDATA(groups);
	reader->end = (const char *) groups + VARSIZE(groups);
	reader->header = header = take_bytes(reader, sizeof(DeltaHeader));
	if (header->version != DELTA_VERSION)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a row of fast_ingest.rollup_delta has version %u: expected %d",
							   header->version, DELTA_VERSION)));
	reader->users = take_bytes(reader, (uint64) header->nusers * sizeof(UserHash));
	reader->ends = take_bytes(reader, (uint64) header->nstrings * sizeof(uint32));
	for (uint32 i = 1; i < header->nstrings; i++)
		if (reader->ends[i] < reader->ends[i - 1])
			report_damage();
	reader->strings =
		take_bytes(reader, header->nstrings == 0 ? 0 : reader->ends[header->nstrings - 1]);
	reader->sections_left = header->nsections;
}

/*
 * An ERROR unless all numbers in a section refer to strings and users of the delta
 */
static void
check_section(const DeltaReader *reader, const DeltaSectionReader *section, uint32 nrefs,
			  uint32 noffsets)
{
	uint64 refs = 0;
	uint64 events = 0;

	for (uint32 i = 0; i < section->ngroups; i++)
	{
		const DeltaGroup *group = &section->groups[i];

		refs += group->nrefs;
		events += group->events;
		if (group->nrefs > group->events || group->event_name >= reader->header->nstrings ||
			group->scope >= reader->header->nstrings || group->key >= reader->header->nstrings)
			report_damage();
	}
	if (refs != nrefs || (noffsets != 0 && noffsets != events))
		report_damage();
	for (uint32 i = 0; i < nrefs; i++)
		if (section->refs[i] >= reader->header->nusers)
			report_damage();
	for (uint32 i = 0; i < noffsets; i++)
		if (section->offsets[i] >= USECS_PER_MINUTE)
			report_damage();
}

bool
DeltaNextSection(DeltaReader *reader, DeltaSectionReader *section)
{
	const DeltaSection *head;

	if (reader->sections_left-- == 0)
		return false;
	head = take_bytes(reader, sizeof(DeltaSection));
	section->breakdown = (int) head->breakdown;
	section->ngroups = head->ngroups;
	section->groups = take_bytes(reader, (uint64) head->ngroups * sizeof(DeltaGroup));
	section->refs = take_bytes(reader, (uint64) head->nrefs * sizeof(uint16));
	section->offsets = take_bytes(reader, (uint64) head->noffsets * sizeof(uint32));
	check_section(reader, section, head->nrefs, head->noffsets);
	if (head->noffsets == 0)
		section->offsets = NULL;
	return true;
}
