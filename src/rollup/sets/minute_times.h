/*
 * minute_times.h
 *
 * The times of a minute: when each event of the minute was, to the microsecond, and who its
 * user was. They answer what happened from one time within the minute to another.
 *
 * As bytes they are the number n of events and a unit in one number, n * 4 + unit, and n times,
 * ordered by time: how many units after the event before it (the first: after the beginning of
 * the minute), and the user plus 1, or 0 for none. All numbers are written 7 bits to a byte, the
 * lower ones first; the highest bit of a byte says that another one follows. The unit is
 * the largest of those below in which all times are whole: events that tell milliseconds or
 * seconds only take fewer bytes.
 *
 * A user is a number of fast_ingest.users, or within packed minutes a rank among the hour's users.
 *
 * Needs no server, so that a fuzz program can check what it does with damaged bytes.
 */
#ifndef FAST_INGEST_MINUTE_TIMES_H
#define FAST_INGEST_MINUTE_TIMES_H

#include "datatype/timestamp.h"

#define MINUTE_NO_USER PG_UINT32_MAX

/* Most events whose times are kept together. */
#define MINUTE_TIMES_MAX (UINT32_C(1) << 26)

typedef struct
{
	uint32 offset; /* from the beginning of the minute, microseconds */
	uint32 user;   /* MINUTE_NO_USER: none */
} MinuteTime;

/* Bytes that are being read. */
typedef struct
{
	const uint8 *next;
	const uint8 *end;
	uint32 left; /* events */
	uint32 unit; /* microseconds */
	uint32 offset;
	bool damaged;
} MinuteTimesReader;

/* The most bytes that n times take. */
extern size_t MinuteTimesBound(uint32 n);

/* Write n times, which are ordered by offset; returns how many bytes. */
extern size_t MinuteTimesWrite(const MinuteTime *times, uint32 n, uint8 *bytes);

/* Order times by offset. */
extern void MinuteTimesSort(MinuteTime *times, uint32 n);

/*
 * Begin to read. Returns the number of events; 0 with damaged set if the bytes cannot be times.
 */
extern uint32 MinuteTimesOpen(MinuteTimesReader *reader, const void *bytes, size_t size);

/*
 * Read a number of a reader's bytes; sets damaged if there is none
 */
static inline uint32
MinuteTimesNumber(MinuteTimesReader *reader)
{
	uint64 value = 0;

	for (int shift = 0; shift < 35 && reader->next < reader->end; shift += 7)
	{
		uint8 byte = *reader->next++;

		value |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80 && value <= PG_UINT32_MAX)
			return (uint32) value;
	}
	reader->damaged = true;
	return 0;
}

/*
 * Read the next event. False after the last one, and if the bytes are damaged, which sets
 * damaged
 */
static inline bool
MinuteTimesNext(MinuteTimesReader *reader, MinuteTime *time)
{
	uint64 offset;

	if (reader->left == 0)
		return false;
	offset = reader->offset + (uint64) MinuteTimesNumber(reader) * reader->unit;
	time->user = MinuteTimesNumber(reader) - 1; /* 0 becomes MINUTE_NO_USER */
	reader->damaged |=
		offset >= USECS_PER_MINUTE || (--reader->left == 0 && reader->next != reader->end);
	if (reader->damaged)
		return false;
	time->offset = reader->offset = (uint32) offset;
	return true;
}

#endif
