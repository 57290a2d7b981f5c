/*
 * hour_minutes_read.c
 *
 * Unpacks minutes. Anybody can pass any bytea to the SQL functions, so everything in it is
 * checked.
 */
#include "postgres.h"

#include "rollup/sets/hour_minutes_private.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "rollup/sets/roaring_check.h"

/* A bytea whose front is checked. The rest is fetched as it is needed. */
typedef struct
{
	Datum value;
	PackedHead *front;
	uint64 nusers;
	uint64 present; /* bit m: minute m */
	int64 events[MINS_PER_HOUR];
	size_t bitmap; /* where it begins, in bytes behind the value's length word */
	size_t bitmap_len;
	size_t times[MINS_PER_HOUR + 1]; /* where those of each minute begin, and the end */
} PackedMinutes;

/* Takes ascending ranks of users of a minute, perhaps several times, which it may overwrite. */
typedef void (*RanksVisitor)(void *arg, int minute, uint32 n, uint32 *ranks);

pg_noreturn static void
report_damage(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("packed minutes are damaged"),
					errdetail_internal("%s", detail)));
}

/*
 * Read a number of the front
 */
static uint64
read_number(const char **next, int width)
{
	uint64 number = 0;

	memcpy(&number, *next, width);
	*next += width;
	return number;
}

static bool
is_width(int width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

/*
 * Read the numbers of the front, whose size is checked
 */
static void
read_front(PackedMinutes *packed, size_t front, size_t size)
{
	const PackedHead *head = packed->front;
	const char *next = (const char *) (head + 1);
	uint64 end = (uint64) front - VARHDRSZ + head->bitmap_len;

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		bool present = (packed->present >> minute & 1) != 0;

		packed->events[minute] = present ? (int64) read_number(&next, head->width) : 0;
		if (packed->events[minute] < 0)
			report_damage("A count is negative.");
	}
	packed->bitmap = front - VARHDRSZ;
	packed->bitmap_len = head->bitmap_len;
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		uint64 len = 0;

		if ((packed->present >> minute & 1) != 0)
			len = read_number(&next, head->times_width);
		packed->times[minute] = end;
		if (len > size || end + len > size)
			report_damage("The value is too short.");
		end += len;
	}
	packed->times[MINS_PER_HOUR] = end;
	if (end != size)
		report_damage("The value has another length than its parts.");
}

/*
 * Fetch and check the front of a bytea. Error XX001 if it is damaged
 */
static void
open_packed(PackedMinutes *packed, Datum minutes)
{
	size_t size = toast_raw_datum_size(minutes) - VARHDRSZ;
	PackedHead *head =
		(PackedHead *) PG_DETOAST_DATUM_SLICE(minutes, 0, Min(size, PACKED_MAX_FRONT - VARHDRSZ));
	size_t front;

	packed->value = minutes;
	packed->front = head;
	if (size < sizeof(PackedHead) - VARHDRSZ)
		report_damage("The value is too short.");
	if (head->version != PACKED_VERSION || head->unused != 0)
		report_damage("The value is of an unknown version.");
	if (!is_width(head->width) || (head->times_width != 0 && !is_width(head->times_width)))
		report_damage("Counts have an impossible width.");
	packed->nusers = head->users;
	packed->present = head->present[0] | (uint64) head->present[1] << 32;
	if (packed->present >> MINS_PER_HOUR != 0 || head->users > PACKED_MAX_USERS)
		report_damage("The header is damaged.");
	front = PackedFrontSize(head->width, head->times_width, packed->present);
	if (size + VARHDRSZ < front)
		report_damage("The value is too short.");
	read_front(packed, front, size);
}

static void
close_packed(PackedMinutes *packed)
{
	pfree(packed->front);
}

/*
 * Fetch some bytes
 */
static struct varlena *
fetch_bytes(const PackedMinutes *packed, size_t start, size_t len)
{
	return PG_DETOAST_DATUM_SLICE(packed->value, (int32) start, (int32) len);
}

/*
 * Call a visitor with the ranks of the minutes from first to before last, possibly several times
 * for a minute, out of the bitmap. Error XX001 if it is damaged, and for a number that belongs to
 * no present minute.
 */
static void
visit_bitmap(const PackedMinutes *packed, int first, int last, RanksVisitor visitor, void *arg)
{
	uint64 nusers = packed->nusers;
	uint32 *numbers = palloc(ROARING_CONTAINER_SIZE * sizeof(uint32));
	struct varlena *bitmap = fetch_bytes(packed, packed->bitmap, packed->bitmap_len);
	const char *wrong;
	uint64 cardinality;
	RoaringReader reader;
	RoaringContainer container;

	wrong = RoaringCheck(VARDATA(bitmap), packed->bitmap_len, &cardinality);
	if (wrong != NULL)
		report_damage(wrong);
	RoaringOpen(&reader, VARDATA(bitmap), packed->bitmap_len);
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
	pfree(bitmap);
	pfree(numbers);
}

/*
 * The next event of a minute's times. Error XX001 for a rank that nobody of the hour has
 */
static bool
next_time(const PackedMinutes *packed, MinuteTimesReader *reader, MinuteTime *time)
{
	bool found = MinuteTimesNext(reader, time);

	if (reader->damaged || (found && time->user != MINUTE_NO_USER && time->user >= packed->nusers))
		report_damage("Times are damaged.");
	return found;
}

/*
 * Begin to read the times of a minute, of which there are some, out of bytes that begin with
 * those of minute first. Error XX001 unless they are as many as the events
 */
static void
open_times(const PackedMinutes *packed, int minute, int first, struct varlena *bytes,
		   MinuteTimesReader *reader)
{
	size_t start = packed->times[minute];

	if (MinuteTimesOpen(reader, VARDATA(bytes) + (start - packed->times[first]),
						packed->times[minute + 1] - start) != packed->events[minute])
		report_damage("Times are not those of all events.");
}

/*
 * Fetch the times of the minutes from first to before last
 */
static struct varlena *
fetch_times(const PackedMinutes *packed, int first, int last)
{
	return fetch_bytes(packed, packed->times[first], packed->times[last] - packed->times[first]);
}

static bool
has_times(const PackedMinutes *packed, int minute)
{
	return packed->times[minute] < packed->times[minute + 1];
}

static int
compare_ranks(const void *a, const void *b)
{
	uint32 left = *(const uint32 *) a;
	uint32 right = *(const uint32 *) b;

	return (left > right) - (left < right);
}

/*
 * The same as visit_bitmap for an hour that has no bitmap. Error XX001 if it has not all times
 */
static void
visit_times(const PackedMinutes *packed, int first, int last, RanksVisitor visitor, void *arg)
{
	struct varlena *bytes = fetch_times(packed, first, last);

	for (int minute = first; minute < last; minute++)
	{
		MinuteTimesReader reader;
		MinuteTime time;
		uint32 *ranks;
		uint32 n = 0;

		if ((packed->present >> minute & 1) == 0)
			continue;
		if (!has_times(packed, minute))
			report_damage("Nothing tells the users of a minute.");
		open_times(packed, minute, first, bytes, &reader);
		ranks = palloc_extended(Max(reader.left, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
		while (next_time(packed, &reader, &time))
			if (time.user != MINUTE_NO_USER)
				ranks[n++] = time.user;
		qsort(ranks, n, sizeof(uint32), compare_ranks);
		if (n > 0)
			visitor(arg, minute, n, ranks);
		pfree(ranks);
	}
	pfree(bytes);
}

static void
visit_minutes(const PackedMinutes *packed, int first, int last, RanksVisitor visitor, void *arg)
{
	if (packed->bitmap_len > 0)
		visit_bitmap(packed, first, last, visitor, arg);
	else
		visit_times(packed, first, last, visitor, arg);
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

	if (UserSetCardinality(whole) != packed->nusers)
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

/*
 * Read all times that are kept
 */
static void
read_times(const PackedMinutes *packed, const uint32 *all, HourMinutes *hour)
{
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		struct varlena *bytes;
		MinuteTimesReader reader;
		MinuteTime *times;
		uint32 n = 0;

		if (!has_times(packed, minute))
			continue;
		CHECK_FOR_INTERRUPTS();
		bytes = fetch_times(packed, minute, minute + 1);
		open_times(packed, minute, minute, bytes, &reader);
		times = palloc_extended(Max(reader.left, 1) * sizeof(MinuteTime), MCXT_ALLOC_HUGE);
		for (; next_time(packed, &reader, &times[n]); n++)
			if (times[n].user != MINUTE_NO_USER)
				times[n].user = all[times[n].user];
		TimeListAdd(hour->context, &hour->times[minute], times, n);
		pfree(times);
		pfree(bytes);
	}
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
	read_times(&packed, all, hour);

	whole = HourMinutesAllUsers(hour);
	if (UserSetCardinality(whole) != packed.nusers)
		report_damage("A user of the hour is of no minute.");
	UserSetFree(whole);
	pfree(all);
	close_packed(&packed);
	return hour;
}

static void
mark_ranks(void *arg, int minute, uint32 n, uint32 *ranks)
{
	uint64 *words = arg;

	for (uint32 i = 0; i < n; i++)
		words[ranks[i] / 64] |= UINT64CONST(1) << ranks[i] % 64;
}

/*
 * A bit for each user of the hour
 */
static uint64 *
make_marks(const PackedMinutes *packed)
{
	return palloc0((packed->nusers / 64 + 1) * sizeof(uint64));
}

/*
 * Add the users whose ranks are marked to a set
 */
static void
add_marked(const PackedMinutes *packed, const uint64 *words, Datum users, UserSet *set)
{
	uint32 *all = read_hour_users(packed, users);
	size_t n = 0;

	for (uint32 i = 0; i < packed->nusers / 64 + 1; i++)
		for (uint64 word = words[i]; word != 0; word &= word - 1)
			all[n++] = all[i * 64 + pg_rightmost_one_pos64(word)];
	UserSetAddMany(set, n, all);
	pfree(all);
}

void
HourMinutesSum(Datum users, Datum minutes, int first, int last, int64 *events, UserSet *set)
{
	PackedMinutes packed;
	uint64 *words;

	Assert(first >= 0 && last <= MINS_PER_HOUR);
	open_packed(&packed, minutes);
	for (int minute = first; minute < last; minute++)
		HourMinutesCount(events, packed.events[minute]);

	/* a user of several minutes is looked up once */
	words = make_marks(&packed);
	visit_minutes(&packed, first, last, mark_ranks, words);
	add_marked(&packed, words, users, set);
	pfree(words);
	close_packed(&packed);
}

bool
HourMinutesHasTimes(Datum minutes, int minute)
{
	PackedMinutes packed;
	bool result;

	open_packed(&packed, minutes);
	/* without events there is nothing to tell */
	result = packed.events[minute] == 0 || has_times(&packed, minute);
	close_packed(&packed);
	return result;
}

int64
HourMinutesCut(Datum users, Datum minutes, int minute, uint32 low, uint32 high, UserSet *set)
{
	PackedMinutes packed;
	struct varlena *bytes;
	uint64 *words;
	MinuteTimesReader reader;
	MinuteTime time;
	int64 events = 0;

	Assert(minute >= 0 && minute < MINS_PER_HOUR);
	open_packed(&packed, minutes);
	if (packed.events[minute] > 0)
	{
		words = make_marks(&packed);
		bytes = fetch_times(&packed, minute, minute + 1);
		open_times(&packed, minute, minute, bytes, &reader);
		while (next_time(&packed, &reader, &time) && time.offset < high)
		{
			if (time.offset < low)
				continue;
			events++;
			if (time.user != MINUTE_NO_USER)
				mark_ranks(words, minute, 1, &time.user);
		}
		add_marked(&packed, words, users, set);
		pfree(bytes);
		pfree(words);
	}
	close_packed(&packed);
	return events;
}

void
HourMinutesEvents(Datum minutes, int64 events[MINS_PER_HOUR])
{
	PackedMinutes packed;

	open_packed(&packed, minutes);
	memcpy(events, packed.events, sizeof(packed.events));
	close_packed(&packed);
}

bool
HourMinutesEnds(Datum minutes, int minute, uint32 low, uint32 high, uint32 *first, uint32 *last)
{
	PackedMinutes packed;
	MinuteTimesReader reader;
	bool found = false;

	open_packed(&packed, minutes);
	if (packed.events[minute] > 0)
	{
		struct varlena *bytes = fetch_times(&packed, minute, minute + 1);

		open_times(&packed, minute, minute, bytes, &reader);
		found = TimesEnds(PointerGetDatum(bytes), low, high, first, last);
		pfree(bytes);
	}
	close_packed(&packed);
	return found;
}
