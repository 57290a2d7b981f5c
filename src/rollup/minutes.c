/*
 * minutes.c
 *
 * The packed minutes of an hour.
 *
 * A user of a minute is named by his rank: his position, from 0, in the hour's
 * sorted set of N users. The users of all minutes are one roaring bitmap of the
 * numbers minute * N + rank, which is dense where the users' own numbers are
 * sparse: two bytes per minute and user, or less.
 *
 * The bytea is written by this machine for itself (native endian), but anybody
 * can hand any bytea to the SQL functions: all of it is checked when it is read.
 */
#include "postgres.h"

#include "rollup/minutes.h"

#include "common/int.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "compat.h"
#include "rollup/portable.h"

#define VERSION 1
#define MAX_USERS ((uint32) (UINT64CONST(0x100000000) / MINS_PER_HOUR))

/* Numbers, taken or not, for each user, up to which a table of them is worth its memory. */
#define MAX_SPARSENESS 32

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

/* A bytea that has been looked through. */
typedef struct
{
	PackedHead *head;
	uint64 present; /* bit m: minute m */
	int64 events[MINS_PER_HOUR];
	const char *bitmap;
	size_t bitmap_len;
} Packed;

/* Takes the ranks of some users of a minute, in order. It may overwrite them. */
typedef void (*RanksSink)(void *arg, int minute, uint32 n, uint32 *ranks);

pg_noreturn static void
damaged(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("packed minutes are damaged"),
					errdetail_internal("%s", detail)));
}

HourMinutes *
HourMinutesCreate(void)
{
	HourMinutes *hour = palloc0(sizeof(HourMinutes));

	hour->context = CurrentMemoryContext;
	return hour;
}

static void
add_events(int64 *sum, int64 events)
{
	if (pg_add_s64_overflow(*sum, events, sum))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("number of events is out of range")));
}

static UserSet *
minute_users(HourMinutes *hour, int minute)
{
	if (hour->users[minute] == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(hour->context);

		hour->users[minute] = UserSetCreate();
		MemoryContextSwitchTo(caller);
	}
	return hour->users[minute];
}

/*
 * Count events in a minute. Errors as HourMinutesAdd
 */
static void
count_events(HourMinutes *hour, int minute, int64 events)
{
	if (minute < 0 || minute >= MINS_PER_HOUR)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("minute %d is not between 0 and 59", minute)));
	if (events < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("number of events " INT64_FORMAT " is negative", events)));
	add_events(&hour->events[minute], events);
}

void
HourMinutesAdd(HourMinutes *hour, int minute, int64 events, const UserSet *users)
{
	count_events(hour, minute, events);
	if (users != NULL)
		UserSetUnion(minute_users(hour, minute), users);
}

void
HourMinutesAddDatum(HourMinutes *hour, int minute, int64 events, Datum users)
{
	count_events(hour, minute, events);
	UserSetUnionDatum(minute_users(hour, minute), users);
}

void
HourMinutesMerge(HourMinutes *hour, const HourMinutes *other)
{
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		HourMinutesAdd(hour, minute, other->events[minute], other->users[minute]);
}

void
HourMinutesGet(HourMinutes *hour, int minute, int64 *events, UserSet **users)
{
	*events = hour->events[minute];
	*users = minute_users(hour, minute);
}

static UserSet *
hour_users(HourMinutes *hour)
{
	UserSet *whole = UserSetCreate();

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if (hour->users[minute] != NULL)
			UserSetUnion(whole, hour->users[minute]);
	return whole;
}

Datum
HourMinutesUsers(HourMinutes *hour)
{
	UserSet *whole = hour_users(hour);
	Datum users = UserSetDatum(whole);

	UserSetFree(whole);
	return users;
}

/*
 * The ranks of all sorted users by their number less the least one. What lies
 * between them is undefined. NULL if too much does: numbers are given out one
 * after the other, but by SQL anybody can make any set.
 */
static uint32 *
rank_table(const uint32 *all, uint64 nall)
{
	uint32 *table;
	uint64 size;

	if (nall == 0)
		return NULL;
	size = (uint64) all[nall - 1] - all[0] + 1;
	if (size > nall * MAX_SPARSENESS)
		return NULL;
	table = MemoryContextAllocHuge(CurrentMemoryContext, size * sizeof(uint32));
	for (uint64 rank = 0; rank < nall; rank++)
		table[all[rank] - all[0]] = (uint32) rank;
	return table;
}

/*
 * Turn sorted users into their ranks among all, who are sorted, too, and hold
 * every one of them. What lies between two is stepped over in growing strides.
 */
static void
search_ranks(uint32 *users, uint64 n, const uint32 *all, uint64 nall)
{
	uint64 low = 0;

	for (uint64 i = 0; i < n; i++)
	{
		uint64 stride = 1;
		uint64 high = low;

		while (high < nall && all[high] < users[i])
		{
			low = high + 1;
			high += stride;
			stride *= 2;
		}
		if (high > nall)
			high = nall;
		while (low < high)
		{
			uint64 middle = low + (high - low) / 2;

			if (all[middle] < users[i])
				low = middle + 1;
			else
				high = middle;
		}
		Assert(low < nall && all[low] == users[i]);
		users[i] = (uint32) low;
	}
}

/*
 * The bitmap of minute * N + rank as a user set
 */
static UserSet *
pack_users(HourMinutes *hour, uint32 *nusers)
{
	UserSet *packed = UserSetCreate();
	UserSet *whole = hour_users(hour);
	uint64 nall;
	uint32 *all = UserSetNumbers(whole, &nall);
	uint32 *table;

	if (nall > MAX_USERS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("an hour of " UINT64_FORMAT
							   " users is larger than minutes can be packed for",
							   nall),
						errdetail("The limit is %u users.", MAX_USERS)));
	table = rank_table(all, nall);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		uint32 *users;
		uint64 n;

		if (hour->users[minute] == NULL)
			continue;
		users = UserSetNumbers(hour->users[minute], &n);
		if (table == NULL)
			search_ranks(users, n, all, nall);
		else
			for (uint64 i = 0; i < n; i++)
				users[i] = table[users[i] - all[0]];
		for (uint64 i = 0; i < n; i++)
			users[i] += minute * (uint32) nall;
		UserSetAddMany(packed, n, users);
		pfree(users);
	}
	if (table != NULL)
		pfree(table);
	pfree(all);
	UserSetFree(whole);
	*nusers = (uint32) nall;
	return packed;
}

static bool
is_present(HourMinutes *hour, int minute)
{
	return hour->events[minute] > 0 ||
		   (hour->users[minute] != NULL && UserSetCardinality(hour->users[minute]) > 0);
}

static int
width_of(int64 events)
{
	return events <= PG_UINT8_MAX	 ? 1
		   : events <= PG_UINT16_MAX ? 2
		   : events <= PG_UINT32_MAX ? 4
									 : 8;
}

static size_t
counts_size(int width, uint64 present)
{
	return TYPEALIGN(sizeof(uint32), width * pg_popcount64(present));
}

Datum
HourMinutesDatum(HourMinutes *hour)
{
	uint32 nusers;
	UserSet *users = pack_users(hour, &nusers);
	struct varlena *bitmap = (struct varlena *) DatumGetPointer(UserSetDatum(users));
	size_t bitmap_len = VARSIZE(bitmap) - VARHDRSZ;
	uint64 present = 0;
	int width = 1;
	size_t size;
	PackedHead *head;
	char *count;

	UserSetFree(users);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if (is_present(hour, minute))
		{
			present |= UINT64CONST(1) << minute;
			width = Max(width, width_of(hour->events[minute]));
		}

	size = sizeof(PackedHead) + counts_size(width, present) + bitmap_len;
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("packed minutes of %zu bytes are larger than a value can be", size)));
	head = palloc0(size);
	SET_VARSIZE(head, size);
	head->version = VERSION;
	head->width = width;
	head->users = nusers;
	head->present[0] = (uint32) present;
	head->present[1] = (uint32) (present >> 32);

	/* the lower bytes of a count come first: the machine is little-endian (see portable.c) */
	count = (char *) (head + 1);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if ((present >> minute & 1) != 0)
		{
			memcpy(count, &hour->events[minute], width);
			count += width;
		}
	memcpy((char *) head + size - bitmap_len, VARDATA(bitmap), bitmap_len);
	pfree(bitmap);
	return PointerGetDatum(head);
}

/*
 * Look through a bytea. Error XX001 if it is damaged, except for the numbers in
 * its bitmap: each_minute looks at those
 */
static void
open_packed(Packed *packed, Datum minutes)
{
	PackedHead *head = (PackedHead *) PG_DETOAST_DATUM(minutes);
	size_t size = VARSIZE(head);
	const char *count = (const char *) (head + 1);
	const char *wrong;
	size_t counts;
	uint64 cardinality;

	if (size < sizeof(PackedHead))
		damaged("The value is too short.");
	if (head->version != VERSION || head->unused != 0)
		damaged("The value is of an unknown version.");
	if (head->width != 1 && head->width != 2 && head->width != 4 && head->width != 8)
		damaged("Counts have an impossible width.");
	packed->head = head;
	packed->present = head->present[0] | (uint64) head->present[1] << 32;
	if (packed->present >> MINS_PER_HOUR != 0 || head->users > MAX_USERS)
		damaged("The header is damaged.");

	counts = counts_size(head->width, packed->present);
	if (size - sizeof(PackedHead) < counts)
		damaged("The value is too short.");
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		packed->events[minute] = 0;
		if ((packed->present >> minute & 1) != 0)
		{
			memcpy(&packed->events[minute], count, head->width);
			count += head->width;
		}
		if (packed->events[minute] < 0)
			damaged("A count is negative.");
	}

	packed->bitmap = (const char *) (head + 1) + counts;
	packed->bitmap_len = size - sizeof(PackedHead) - counts;
	wrong = PortableCheck(packed->bitmap, packed->bitmap_len, &cardinality);
	if (wrong != NULL)
		damaged(wrong);
}

static void
close_packed(Packed *packed, Datum minutes)
{
	if ((Pointer) packed->head != DatumGetPointer(minutes))
		pfree(packed->head);
}

/*
 * Hand on the ranks of the minutes first <= minute < last. Error XX001 for a
 * number that belongs to no present minute.
 */
static void
each_minute(const Packed *packed, int first, int last, RanksSink sink, void *arg)
{
	uint64 nusers = packed->head->users;
	uint32 *numbers = palloc(PORTABLE_CONTAINER_SIZE * sizeof(uint32));
	PortableReader reader;
	PortableContainer container;

	PortableOpen(&reader, packed->bitmap, packed->bitmap_len);
	while (PortableNext(&reader, &container))
	{
		uint32 n = container.cardinality;
		uint32 i = 0;

		if (container.base + (uint64) PORTABLE_CONTAINER_SIZE <= first * nusers ||
			container.base >= last * nusers)
		{
			if (container.base >= MINS_PER_HOUR * nusers)
				damaged("A user is of no minute.");
			continue;
		}
		PortableDecode(&container, numbers);
		while (i < n)
		{
			int minute = (int) (numbers[i] / nusers);
			uint32 start = i;

			if (minute >= MINS_PER_HOUR || (packed->present >> minute & 1) == 0)
				damaged("A user is of no minute.");
			for (; i < n && numbers[i] < (minute + 1) * nusers; i++)
				numbers[i] -= minute * (uint32) nusers;
			if (minute >= first && minute < last)
				sink(arg, minute, i - start, numbers + start);
		}
	}
	pfree(numbers);
}

/*
 * The sorted users of the hour. Error XX001 if they are not as many as the
 * minutes were packed for
 */
static uint32 *
read_hour_users(const Packed *packed, Datum users)
{
	struct varlena *detoasted = PG_DETOAST_DATUM(users);
	UserSet *whole = UserSetRead(detoasted);
	uint64 n;
	uint32 *all = UserSetNumbers(whole, &n);

	if (n != packed->head->users)
		damaged("The hour has another number of users than its minutes.");
	UserSetFree(whole);
	if ((Pointer) detoasted != DatumGetPointer(users))
		pfree(detoasted);
	return all;
}

typedef struct
{
	HourMinutes *hour;
	const uint32 *all;
} ReadSink;

static void
read_minute(void *arg, int minute, uint32 n, uint32 *ranks)
{
	ReadSink *sink = arg;

	for (uint32 i = 0; i < n; i++)
		ranks[i] = sink->all[ranks[i]];
	UserSetAddMany(minute_users(sink->hour, minute), n, ranks);
}

HourMinutes *
HourMinutesRead(Datum users, Datum minutes)
{
	HourMinutes *hour = HourMinutesCreate();
	Packed packed;
	ReadSink sink = {hour, NULL};
	UserSet *whole;
	uint32 *all;

	open_packed(&packed, minutes);
	memcpy(hour->events, packed.events, sizeof(hour->events));
	sink.all = all = read_hour_users(&packed, users);
	each_minute(&packed, 0, MINS_PER_HOUR, read_minute, &sink);

	whole = hour_users(hour);
	if (UserSetCardinality(whole) != packed.head->users)
		damaged("A user of the hour is of no minute.");
	UserSetFree(whole);
	pfree(all);
	close_packed(&packed, minutes);
	return hour;
}

static void
mark_ranks(void *arg, int minute, uint32 n, uint32 *ranks)
{
	uint64 *words = arg;

	for (uint32 i = 0; i < n; i++)
		words[ranks[i] / 64] |= UINT64CONST(1) << ranks[i] % 64;
}

void
HourMinutesSum(Datum users, Datum minutes, int first, int last, int64 *events, UserSet *set)
{
	Packed packed;
	uint32 nwords;
	uint64 *words;
	uint32 *all;
	size_t n = 0;

	first = Max(first, 0);
	last = Min(last, MINS_PER_HOUR);
	open_packed(&packed, minutes);
	for (int minute = first; minute < last; minute++)
		add_events(events, packed.events[minute]);

	/* users seen in several of the minutes are looked up once */
	nwords = packed.head->users / 64 + 1;
	words = palloc0(nwords * sizeof(uint64));
	each_minute(&packed, first, last, mark_ranks, words);
	all = read_hour_users(&packed, users);
	for (uint32 i = 0; i < nwords; i++)
		for (uint64 word = words[i]; word != 0; word &= word - 1)
			all[n++] = all[i * 64 + pg_rightmost_one_pos64(word)];
	UserSetAddMany(set, n, all);
	pfree(all);
	pfree(words);
	close_packed(&packed, minutes);
}
