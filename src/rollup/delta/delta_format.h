/*
 * delta_format.h
 *
 * A delta is what one statement adds to the rollup. It is a row of fast_ingest.rollup_delta
 * for up to DELTA_MAX_EVENTS events. It is written in the transaction that inserts the
 * events, and deleted in the transaction that merges it into the rollup.
 *
 * Column "groups" holds, in native byte order and aligned to 4 bytes:
 *
 *     DeltaHeader
 *     nusers hashes of users, 16 bytes each
 *     nstrings ends (uint32) of strings, then the strings, padded to 4
 *     nsections times:
 *         DeltaSection, for one breakdown
 *         ngroups times DeltaGroup
 *         nrefs times uint16: which of the users, those of the first group first;
 *         a user may come several times; padded to 4
 *         noffsets times uint32: when each event was, in microseconds from the beginning
 *         of its minute. Those of the first group first; of a group, first those of its
 *         refs, in their order, then those of events without a user. There are none
 *         unless the breakdown keeps times (see breakdown.h)
 *
 * A group counts events of one event_name, scope and key in one bucket of the breakdown's
 * width.
 */
#ifndef FAST_INGEST_DELTA_FORMAT_H
#define FAST_INGEST_DELTA_FORMAT_H

#include "datatype/timestamp.h"

#include "rollup/users/user_hash.h"

#define DELTA_VERSION 2
#define DELTA_MAX_EVENTS 16384

typedef struct
{
	uint32 version;
	uint32 nusers;
	uint32 nstrings;
	uint32 nsections;
} DeltaHeader;

typedef struct
{
	uint32 breakdown;
	uint32 ngroups;
	uint32 nrefs;
	uint32 noffsets; /* 0, or as many as there are events */
} DeltaSection;

typedef struct
{
	uint16 event_name; /* the numbers of three strings */
	uint16 scope;
	uint16 key;
	uint16 events;
	uint16 nrefs;  /* events that have a user */
	uint16 minute; /* of the day, at which the bucket begins */
	int32 day;	   /* of the bucket, since 2000-01-01 UTC */
} DeltaGroup;

/* Columns of fast_ingest.rollup_delta. */
enum
{
	DELTA_COLUMN_EVENTS = 1,
	DELTA_COLUMN_FIRST, /* the first and the last ts of the events */
	DELTA_COLUMN_LAST,
	DELTA_COLUMN_GROUPS
};

/* The beginning of a group's bucket. */
static inline int64
DeltaBucket(const DeltaGroup *group)
{
	return group->day * USECS_PER_DAY + group->minute * USECS_PER_MINUTE;
}

#endif
