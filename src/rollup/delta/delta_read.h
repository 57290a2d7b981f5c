/*
 * delta_read.h
 *
 * Reading deltas (see delta_format.h). Everything read points into the delta's bytes.
 */
#ifndef FAST_INGEST_DELTA_READ_H
#define FAST_INGEST_DELTA_READ_H

#include "rollup/delta/delta_format.h"

/* A delta being read. */
typedef struct
{
	const DeltaHeader *header;
	const UserHash *users;
	const uint32 *ends;
	const char *strings;
	const char *next; /* the section to read next */
	const char *end;
	uint32 sections_left;
} DeltaReader;

/* A section being read. */
typedef struct
{
	int breakdown;
	uint32 ngroups;
	const DeltaGroup *groups;
	const uint16 *refs;
	const uint32 *offsets; /* of the events in their minute; NULL: none are kept */
} DeltaSectionReader;

/*
 * Begin to read the "groups" of a delta: a detoasted bytea. An ERROR if it is damaged
 * (XX001), or if it is of another DELTA_VERSION (0A000).
 */
extern void DeltaRead(DeltaReader *reader, const struct varlena *groups);

/* Read the next section; false after the last one. An ERROR (XX001) if it is damaged. */
extern bool DeltaNextSection(DeltaReader *reader, DeltaSectionReader *section);

/* A string by its number. */
static inline const char *
DeltaString(const DeltaReader *reader, uint32 number, uint32 *len)
{
	uint32 start = number == 0 ? 0 : reader->ends[number - 1];

	*len = reader->ends[number] - start;
	return reader->strings + start;
}

#endif
