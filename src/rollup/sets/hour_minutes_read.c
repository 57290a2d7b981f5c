/*
 * hour_minutes_read.c
 *
 * Takes packed minutes apart. Anybody can hand any bytea to the SQL functions: all
 * of it is checked when it is read.
 */
#include "postgres.h"

#include "rollup/sets/hour_minutes_private.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "rollup/sets/roaring_check.h"

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
	if (head->version != PACKED_VERSION || head->unused != 0)
		damaged("The value is of an unknown version.");
	if (head->width != 1 && head->width != 2 && head->width != 4 && head->width != 8)
		damaged("Counts have an impossible width.");
	packed->head = head;
	packed->present = head->present[0] | (uint64) head->present[1] << 32;
	if (packed->present >> MINS_PER_HOUR != 0 || head->users > PACKED_MAX_USERS)
		damaged("The header is damaged.");

	counts = PackedCountsSize(head->width, packed->present);
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
	wrong = RoaringCheck(packed->bitmap, packed->bitmap_len, &cardinality);
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
	RoaringReader reader;
	RoaringContainer container;

	RoaringOpen(&reader, packed->bitmap, packed->bitmap_len);
	while (RoaringNext(&reader, &container))
	{
		uint32 n = container.cardinality;
		uint32 i = 0;

		CHECK_FOR_INTERRUPTS();
		if (container.base + (uint64) PORTABLE_CONTAINER_SIZE <= first * nusers ||
			container.base >= last * nusers)
		{
			if (container.base >= MINS_PER_HOUR * nusers)
				damaged("A user is of no minute.");
			continue;
		}
		RoaringDecode(&container, numbers);
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
	uint32 *all;

	if (UserSetCardinality(whole) != packed->head->users)
		damaged("The hour has another number of users than its minutes.");
	all = UserSetNumbers(whole, &n);
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
	UserSetAddMany(HourMinutesSet(sink->hour, minute), n, ranks);
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

	whole = HourMinutesAllUsers(hour);
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

	Assert(first >= 0 && last <= MINS_PER_HOUR);
	open_packed(&packed, minutes);
	for (int minute = first; minute < last; minute++)
		HourMinutesCount(events, packed.events[minute]);

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
