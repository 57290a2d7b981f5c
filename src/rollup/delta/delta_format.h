/*
 * delta_format.h
 *
 * A delta says what one statement adds to the rollup. It is one row of
 * fast_ingest.rollup_delta for up to DELTA_MAX_EVENTS events, written in the
 * transaction of the events and deleted in the one that merges it.
 *
 * The row's "groups" hold, in native byte order and aligned to 4 bytes:
 *
 *     DeltaHeader
 *     nusers hashes of users, 16 bytes each
 *     nstrings ends (uint32) of strings, then the strings, padded to 4
 *     nsections times:
 *         DeltaSection		one breakdown
 *         ngroups times DeltaGroup
 *         nrefs times uint16: numbers of users, those of the first group first;
 *         a user may come several times; padded to 4
 *
 * Groups count events by bucket of the finest level of their breakdown.
 */
#ifndef FAST_INGEST_DELTA_FORMAT_H
#define FAST_INGEST_DELTA_FORMAT_H

#include "datatype/timestamp.h"

#include "rollup/users/user_hash.h"

#define DELTA_VERSION 1
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
} DeltaSection;

typedef struct
{
	uint16 event_name; /* these three: numbers of strings */
	uint16 scope;
	uint16 key;
	uint16 events;
	uint16 nrefs;  /* events that have a user */
	uint16 minute; /* of the day, where the bucket begins */
	int32 day;	   /* from 2000-01-01 UTC */
} DeltaGroup;

/* Columns of fast_ingest.rollup_delta. */
enum
{
	DELTA_COLUMN_EVENTS = 1,
	DELTA_COLUMN_FIRST, /* first and last ts of the events */
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
