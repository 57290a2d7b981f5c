/*
 * hour_minutes_private.h
 *
 * The format of packed minutes, for hour_minutes.c, hour_minutes_pack.c and
 * hour_minutes_read.c.
 *
 * A user of a minute is stored as a rank: the position, from 0, in the hour's sorted set of N
 * users. The users of all minutes are one roaring bitmap of the numbers minute * N + rank. It is
 * dense where the users' own numbers are sparse: it takes two bytes per minute and user, or
 * less. Times have ranks of users, too. They tell the users of a minute, so an hour of few events
 * that has all their times has no bitmap.
 *
 * What is read of a value depends on the question: its front, and then the bitmap, or the times
 * of a minute. The column is stored in such a way (EXTERNAL) that a part can be fetched alone.
 *
 * Numbers are in native byte order.
 */
#ifndef FAST_INGEST_HOUR_MINUTES_PRIVATE_H
#define FAST_INGEST_HOUR_MINUTES_PRIVATE_H

#include "datatype/timestamp.h"
#include "port/pg_bitutils.h"

#include "rollup/sets/hour_minutes.h"

#define PACKED_VERSION 2
#define PACKED_MAX_USERS ((uint32) (UINT64CONST(0x100000000) / MINS_PER_HOUR))

struct HourMinutes
{
	MemoryContext context; /* holds the sets */
	int64 events[MINS_PER_HOUR];
	UserSet *users[MINS_PER_HOUR]; /* NULL: none */
	TimeList times[MINS_PER_HOUR]; /* kept if they are as many as there are events */
};

/*
 * The header of the bytea. It and what follows it up to the padding are the front:
 *
 *     the numbers of events of the minutes that are present
 *     if the value has times: the number of bytes of each present minute's times (0: none
 *     are kept), of times_width bytes
 *     padding to 4 bytes
 *     the portable serialization of the bitmap
 *     the times of the minutes (see minute_times.h)
 */
typedef struct
{
	int32 vl_len_;
	uint8 version;
	uint8 width;	   /* bytes of a count: 1, 2, 4 or 8 */
	uint8 times_width; /* the same of the numbers of bytes; 0: the value has no times */
	uint8 unused;
	uint32 users;	   /* N, the number of the hour's users */
	uint32 present[2]; /* bit m % 32 of word m / 32: minute m has events or users */
	uint32 bitmap_len; /* bytes; 0: there is no bitmap, the times tell the users */
} PackedHead;

/* An hour of so many events has no bitmap if it has all times. */
#define PACKED_MAX_WITHOUT_BITMAP 8192

/* Bytes of the front, with padding; and the most that it can have. */
static inline size_t
PackedFrontSize(int width, int times_width, uint64 present)
{
	return sizeof(PackedHead) +
		   TYPEALIGN(sizeof(uint32), (width + times_width) * pg_popcount64(present));
}
#define PACKED_MAX_FRONT (sizeof(PackedHead) + MINS_PER_HOUR * 2 * sizeof(uint64))

/* Are the times of a minute complete? A minute without events has none to keep. */
static inline bool
HourMinutesKeepsTimes(const HourMinutes *hour, int minute)
{
	return hour->events[minute] > 0 && hour->events[minute] == hour->times[minute].n;
}

/* Add a number of events to a sum. Error 22003 if it is out of range. */
extern void HourMinutesCount(int64 *sum, int64 events);

/* The set of a minute's users, which stays the hour's; created if there is none. */
extern UserSet *HourMinutesSet(HourMinutes *hour, int minute);

/* A new set of the users of all minutes. */
extern UserSet *HourMinutesAllUsers(HourMinutes *hour);

#endif
