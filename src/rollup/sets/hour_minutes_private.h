/*
 * hour_minutes_private.h
 *
 * The packed minutes of an hour: shared by hour_minutes.c, hour_minutes_pack.c and
 * hour_minutes_read.c.
 *
 * A user of a minute is named by his rank: his position, from 0, in the hour's
 * sorted set of N users. The users of all minutes are one roaring bitmap of the
 * numbers minute * N + rank, which is dense where the users' own numbers are
 * sparse: two bytes per minute and user, or less.
 *
 * The bytea is written by this machine for itself (native endian).
 */
#ifndef FAST_INGEST_HOUR_MINUTES_PRIVATE_H
#define FAST_INGEST_HOUR_MINUTES_PRIVATE_H

#include "datatype/timestamp.h"
#include "port/pg_bitutils.h"

#include "rollup/sets/hour_minutes.h"

#define PACKED_VERSION 1
#define PACKED_MAX_USERS ((uint32) (UINT64CONST(0x100000000) / MINS_PER_HOUR))

struct HourMinutes
{
	MemoryContext context; /* of the sets */
	int64 events[MINS_PER_HOUR];
	UserSet *users[MINS_PER_HOUR]; /* NULL: none */
};

/*
 * The head of the bytea. After it come the counts of the minutes that are
 * present, filled up to 4 bytes, and the bitmap's portable serialization.
 */
typedef struct
{
	int32 vl_len_;
	uint8 version;
	uint8 width; /* bytes of a count: 1, 2, 4 or 8 */
	uint16 unused;
	uint32 users;	   /* of the hour: N */
	uint32 present[2]; /* bit m % 32 of word m / 32: minute m has events or users */
} PackedHead;

/* Bytes of the counts of present minutes, filled up. */
static inline size_t
PackedCountsSize(int width, uint64 present)
{
	return TYPEALIGN(sizeof(uint32), width * pg_popcount64(present));
}

/* Add to a number of events; an ERROR where that is out of range. */
extern void HourMinutesCount(int64 *sum, int64 events);

/* The users of a minute, to be added to. */
extern UserSet *HourMinutesSet(HourMinutes *hour, int minute);

/* The users of all minutes, in the current memory context. */
extern UserSet *HourMinutesAllUsers(HourMinutes *hour);

#endif
