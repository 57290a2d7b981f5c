/*
 * hour_minutes_read.c
 *
 * Unpacks minutes. Anybody can pass any bytea to the SQL functions, so everything in it is
 * checked.
 */
#include "postgres.h"

#include "rollup/sets/hour_minutes_private.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "rollup/sets/roaring_check.h"

/* A bytea whose header and bitmap are checked. */
typedef struct
{
	PackedHead *head;
	uint64 present; /* bit m: minute m */
	int64 events[MINS_PER_HOUR];
	const char *bitmap;
	size_t bitmap_len;
} PackedMinutes;

/* Takes ascending ranks of users of a minute, which it may overwrite. */
typedef void (*RanksVisitor)(void *arg, int minute, uint32 n, uint32 *ranks);

pg_noreturn static void
report_damage(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("packed minutes are damaged"),
					errdetail_internal("%s", detail)));
}

/*
 * Detoast and check a bytea. Error XX001 if it is damaged; the numbers in its bitmap are left
 * for visit_minutes to check.
 */
static void
open_packed(PackedMinutes *packed, Datum minutes)
{
	PackedHead *head = (PackedHead *) PG_DETOAST_DATUM(minutes);
	size_t size = VARSIZE(head);
	const char *count = (const char *) (head + 1);
	const char *wrong;
	size_t counts;
	uint64 cardinality;

	if (size < sizeof(PackedHead))
		report_damage("The value is too short.");
	if (head->version != PACKED_VERSION || head->unused != 0)
		report_damage("The value is of an unknown version.");
	if (head->width != 1 && head->width != 2 && head->width != 4 && head->width != 8)
		report_damage("Counts have an impossible width.");
	packed->head = head;
	packed->present = head->present[0] | (uint64) head->present[1] << 32;
	if (packed->present >> MINS_PER_HOUR != 0 || head->users > PACKED_MAX_USERS)
		report_damage("The header is damaged.");

	counts = PackedCountsSize(head->width, packed->present);
	if (size - sizeof(PackedHead) < counts)
		report_damage("The value is too short.");
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		packed->events[minute] = 0;
		if ((packed->present >> minute & 1) != 0)
		{
			memcpy(&packed->events[minute], count, head->width);
			count += head->width;
		}
		if (packed->events[minute] < 0)
			report_damage("A count is negative.");
	}

	packed->bitmap = (const char *) (head + 1) + counts;
	packed->bitmap_len = size - sizeof(PackedHead) - counts;
	wrong = RoaringCheck(packed->bitmap, packed->bitmap_len, &cardinality);
	if (wrong != NULL)
		report_damage(wrong);
}

static void
close_packed(PackedMinutes *packed, Datum minutes)
{
	if ((Pointer) packed->head != DatumGetPointer(minutes))
		pfree(packed->head);
}

/*
 * Call a visitor with the ranks of the minutes from first to before last, possibly several times
 * for a minute. Error XX001 for a number that belongs to no present minute.
 */
static void
visit_minutes(const PackedMinutes *packed, int first, int last, RanksVisitor visitor, void *arg)
{
	uint64 nusers = packed->head->users;
	uint32 *numbers = palloc(ROARING_CONTAINER_SIZE * sizeof(uint32));
	RoaringReader reader;
	RoaringContainer container;

	RoaringOpen(&reader, packed->bitmap, packed->bitmap_len);
	while (RoaringNext(&reader, &container))
	{
		uint32 n = container.cardinality;
		uint32 i = 0;

		CHECK_FOR_INTERRUPTS();
		if (container.base + (uint64) ROARING_CONTAINER_SIZE <= first * nusers ||
			container.base >= last * nusers)
		{
			if (container.base >= MINS_PER_HOUR * nusers)
				report_damage("A user is of no minute.");
			continue;
		}
		RoaringDecode(&container, numbers);
		while (i < n)
		{
			int minute = (int) (numbers[i] / nusers);
			uint32 start = i;

			if (minute >= MINS_PER_HOUR || (packed->present >> minute & 1) == 0)
				report_damage("A user is of no minute.");
			for (; i < n && numbers[i] < (minute + 1) * nusers; i++)
				numbers[i] -= minute * (uint32) nusers;
			if (minute >= first && minute < last)
				visitor(arg, minute, i - start, numbers + start);
		}
	}
	pfree(numbers);
}

/*
 * The sorted users of the hour. Error XX001 unless their number is the one for which the minutes
 * were packed
 */
static uint32 *
read_hour_users(const PackedMinutes *packed, Datum users)
{
	struct varlena *detoasted = PG_DETOAST_DATUM(users);
	UserSet *whole = UserSetRead(detoasted);
	uint64 n;
	uint32 *all;

	if (UserSetCardinality(whole) != packed->head->users)
		report_damage("The hour has another number of users than its minutes.");
	all = UserSetNumbers(whole, &n);
	UserSetFree(whole);
	if ((Pointer) detoasted != DatumGetPointer(users))
		pfree(detoasted);
	return all;
}

typedef struct
{
	HourMinutes *hour;
	const uint32 *all; /* the hour's users, sorted */
} HourReader;

static void
read_minute(void *arg, int minute, uint32 n, uint32 *ranks)
{
	HourReader *reader = arg;

	for (uint32 i = 0; i < n; i++)
		ranks[i] = reader->all[ranks[i]];
	UserSetAddMany(HourMinutesSet(reader->hour, minute), n, ranks);
}

HourMinutes *
HourMinutesRead(Datum users, Datum minutes)
{
	HourMinutes *hour = HourMinutesCreate();
	PackedMinutes packed;
	HourReader reader = {hour, NULL};
	UserSet *whole;
	uint32 *all;

	open_packed(&packed, minutes);
	memcpy(hour->events, packed.events, sizeof(hour->events));
	reader.all = all = read_hour_users(&packed, users);
	visit_minutes(&packed, 0, MINS_PER_HOUR, read_minute, &reader);

	whole = HourMinutesAllUsers(hour);
	if (UserSetCardinality(whole) != packed.head->users)
		report_damage("A user of the hour is of no minute.");
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
	PackedMinutes packed;
	uint32 nwords;
	uint64 *words;
	uint32 *all;
	size_t n = 0;

	Assert(first >= 0 && last <= MINS_PER_HOUR);
	open_packed(&packed, minutes);
	for (int minute = first; minute < last; minute++)
		HourMinutesCount(events, packed.events[minute]);

	/* a user of several minutes is looked up once */
	nwords = packed.head->users / 64 + 1;
	words = palloc0(nwords * sizeof(uint64));
	visit_minutes(&packed, first, last, mark_ranks, words);
	all = read_hour_users(&packed, users);
	for (uint32 i = 0; i < nwords; i++)
		for (uint64 word = words[i]; word != 0; word &= word - 1)
			all[n++] = all[i * 64 + pg_rightmost_one_pos64(word)];
	UserSetAddMany(set, n, all);
	pfree(all);
	pfree(words);
	close_packed(&packed, minutes);
}
