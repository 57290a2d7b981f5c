/*
 * hour_minutes_private.h
 *
 * The format of packed minutes, for hour_minutes.c, hour_minutes_pack.c and
 * hour_minutes_read.c.
 *
 * A user of a minute is stored as a rank: the position, from 0, in the hour's sorted set of N
 * users. The users of all minutes are one roaring bitmap of the numbers minute * N + rank. It is
 * dense where the users' own numbers are sparse: it takes two bytes per minute and user, or
 * less.
 *
 * Numbers are in native byte order.
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
	MemoryContext context; /* holds the sets */
	int64 events[MINS_PER_HOUR];
	UserSet *users[MINS_PER_HOUR]; /* NULL: none */
};

/*
 * The header of the bytea. It is followed by the numbers of events of the minutes that are
 * present, padded to 4 bytes, and the portable serialization of the bitmap.
 */
typedef struct
{
	int32 vl_len_;
	uint8 version;
	uint8 width; /* bytes of a count: 1, 2, 4 or 8 */
	uint16 unused;
	uint32 users;	   /* N, the number of the hour's users */
	uint32 present[2]; /* bit m % 32 of word m / 32: minute m has events or users */
} PackedHead;

/* Bytes of the counts of the present minutes, with padding. */
static inline size_t
PackedCountsSize(int width, uint64 present)
{
	return TYPEALIGN(sizeof(uint32), width * pg_popcount64(present));
}

/* Add a number of events to a sum. Error 22003 if it is out of range. */
extern void HourMinutesCount(int64 *sum, int64 events);

/* The set of a minute's users, which stays the hour's; created if there is none. */
extern UserSet *HourMinutesSet(HourMinutes *hour, int minute);

/* A new set of the users of all minutes. */
extern UserSet *HourMinutesAllUsers(HourMinutes *hour);

#endif
