/*
 * hour_minutes_pack.c
 *
 * Packs the minutes of an hour.
 */
#include "postgres.h"

#include "rollup/sets/hour_minutes_private.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/compat.h"

/* A table of ranks may have so many entries per user, most of them unused. */
#define MAX_SPARSENESS 32

/* The hour's users, in order, and a table of their ranks, if there is one. */
typedef struct
{
	uint64 n;
	uint32 *all;
	uint32 *table;
} Ranks;

/* The times of a minute, written; none if bytes is NULL. */
typedef struct
{
	uint8 *bytes;
	size_t size;
} WrittenTimes;

/*
 * Build a table of the ranks of sorted users: the index is a user's number minus the least
 * number. Entries that belong to no user are 0. NULL if there would be too many of
 * these: numbers are given out in sequence, but by SQL anybody can make any set.
 */
static uint32 *
build_rank_table(const uint32 *all, uint64 nall)
{
	uint32 *table;
	uint64 size;

	if (nall == 0)
		return NULL;
	size = (uint64) all[nall - 1] - all[0] + 1;
	if (size > nall * MAX_SPARSENESS)
		return NULL;
	table = palloc_extended(size * sizeof(uint32), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint64 rank = 0; rank < nall; rank++)
		table[all[rank] - all[0]] = (uint32) rank;
	return table;
}

/*
 * Rank the users of all minutes. Error 54000 if they are too many
 */
static Ranks
rank_users(HourMinutes *hour)
{
	UserSet *whole = HourMinutesAllUsers(hour);
	Ranks ranks;

	ranks.n = UserSetCardinality(whole);
	if (ranks.n > PACKED_MAX_USERS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("an hour of " UINT64_FORMAT
							   " users is larger than minutes can be packed for",
							   ranks.n),
						errdetail("The limit is %u users.", PACKED_MAX_USERS)));
	ranks.all = UserSetNumbers(whole, &ranks.n);
	ranks.table = build_rank_table(ranks.all, ranks.n);
	UserSetFree(whole);
	return ranks;
}

/*
 * Replace sorted users by their ranks among all users, which are sorted and include them.
 * Searches in strides that double, from one user to the next.
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
 * Find the rank of a user who may not be among all of them; false then
 */
static bool
find_rank(const Ranks *ranks, uint32 user, uint32 *rank)
{
	uint64 low = 0;
	uint64 high = ranks->n;

	if (high == 0 || user < ranks->all[0] || user > ranks->all[high - 1])
		return false;
	if (ranks->table != NULL)
		low = ranks->table[user - ranks->all[0]];
	else
		while (low < high)
		{
			uint64 middle = low + (high - low) / 2;

			if (ranks->all[middle] < user)
				low = middle + 1;
			else
				high = middle;
		}
	*rank = (uint32) low;
	return ranks->all[low] == user;
}

/*
 * The bitmap of the numbers minute * N + rank, as a user set
 */
static UserSet *
pack_users(HourMinutes *hour, const Ranks *ranks)
{
	UserSet *packed = UserSetCreate();

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		uint32 *users;
		uint64 n;

		CHECK_FOR_INTERRUPTS();
		if (hour->users[minute] == NULL)
			continue;
		users = UserSetNumbers(hour->users[minute], &n);
		if (ranks->table == NULL)
			search_ranks(users, n, ranks->all, ranks->n);
		else
			for (uint64 i = 0; i < n; i++)
				users[i] = ranks->table[users[i] - ranks->all[0]];
		for (uint64 i = 0; i < n; i++)
			users[i] += minute * (uint32) ranks->n;
		UserSetAddMany(packed, n, users);
		pfree(users);
	}
	return packed;
}

/*
 * Write the times of a minute, with ranks. Error 22023 if they have a user who has no rank
 */
static WrittenTimes
write_times(const TimeList *list, const Ranks *ranks)
{
	MinuteTime *ranked = palloc_extended(list->n * sizeof(MinuteTime), MCXT_ALLOC_HUGE);
	WrittenTimes written;

	for (uint32 i = 0; i < list->n; i++)
	{
		ranked[i] = list->times[i];
		if (ranked[i].user != MINUTE_NO_USER &&
			!find_rank(ranks, list->times[i].user, &ranked[i].user))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("times have user %u, who is not among the users",
								   list->times[i].user)));
	}
	written.bytes = palloc_extended(MinuteTimesBound(list->n), MCXT_ALLOC_HUGE);
	written.size = MinuteTimesWrite(ranked, list->n, written.bytes);
	written.bytes = repalloc_huge(written.bytes, written.size);
	pfree(ranked);
	return written;
}

static bool
is_present(HourMinutes *hour, int minute)
{
	return hour->events[minute] > 0 ||
		   (hour->users[minute] != NULL && UserSetCardinality(hour->users[minute]) > 0);
}

/*
 * Do the times of a minute tell all its users?
 */
static bool
tells_users(HourMinutes *hour, int minute)
{
	const TimeList *list = &hour->times[minute];
	uint32 *users = palloc(Max(list->n, 1) * sizeof(uint32));
	UserSet *told = UserSetCreate();
	size_t n = 0;
	bool all;

	for (uint32 i = 0; i < list->n; i++)
		if (list->times[i].user != MINUTE_NO_USER)
			users[n++] = list->times[i].user;
	UserSetAddUnordered(told, n, users);
	all = hour->users[minute] == NULL ? n == 0 : UserSetEquals(told, hour->users[minute]);
	UserSetFree(told);
	pfree(users);
	return all;
}

/*
 * Does the hour need no bitmap?
 */
static bool
needs_no_bitmap(HourMinutes *hour)
{
	int64 events = 0;

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		if (!is_present(hour, minute))
			continue;
		if (!HourMinutesKeepsTimes(hour, minute))
			return false;
		events += hour->events[minute];
		if (events > PACKED_MAX_WITHOUT_BITMAP || !tells_users(hour, minute))
			return false;
	}
	return events > 0;
}

/*
 * The events of all minutes whose times are kept
 */
static uint64
count_times(const HourMinutes *hour)
{
	uint64 n = 0;

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if (HourMinutesKeepsTimes(hour, minute))
			n += hour->times[minute].n;
	return n;
}

static int
number_width(uint64 number)
{
	return number <= PG_UINT8_MAX	 ? 1
		   : number <= PG_UINT16_MAX ? 2
		   : number <= PG_UINT32_MAX ? 4
									 : 8;
}

/*
 * Write a number; returns where the next one goes. The first bytes of a number are its lower
 * ones: roaring_check.c requires little-endian
 */
static char *
write_number(char *next, uint64 number, int width)
{
	memcpy(next, &number, width);
	return next + width;
}

/*
 * Write what stands before the bitmap into the zeroed value
 */
static void
write_front(PackedHead *head, const HourMinutes *hour, const WrittenTimes *times, uint64 present)
{
	char *next = (char *) (head + 1);

	head->version = PACKED_VERSION;
	head->present[0] = (uint32) present;
	head->present[1] = (uint32) (present >> 32);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if ((present >> minute & 1) != 0)
			next = write_number(next, hour->events[minute], head->width);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if ((present >> minute & 1) != 0)
			next = write_number(next, times[minute].size, head->times_width);
}

Datum
HourMinutesDatum(HourMinutes *hour)
{
	Ranks ranks = rank_users(hour);
	WrittenTimes times[MINS_PER_HOUR] = {0};
	bool keeps_times = count_times(hour) <= MINUTE_TIMES_MAX;
	struct varlena *bitmap = NULL;
	size_t bitmap_len = 0;
	size_t times_len = 0;
	uint64 present = 0;
	int width = 1;
	int times_width = 0;
	size_t front;
	size_t size;
	PackedHead *head;
	char *next;

	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		if (!is_present(hour, minute))
			continue;
		present |= UINT64CONST(1) << minute;
		width = Max(width, number_width(hour->events[minute]));
		if (!keeps_times || !HourMinutesKeepsTimes(hour, minute))
			continue;
		CHECK_FOR_INTERRUPTS();
		times[minute] = write_times(&hour->times[minute], &ranks);
		times_width = Max(times_width, number_width(times[minute].size));
		times_len += times[minute].size;
	}
	if (!needs_no_bitmap(hour))
	{
		UserSet *users = pack_users(hour, &ranks);

		bitmap = (struct varlena *) DatumGetPointer(UserSetDatum(users));
		bitmap_len = VARSIZE(bitmap) - VARHDRSZ;
		UserSetFree(users);
	}

	front = PackedFrontSize(width, times_width, present);
	size = front + bitmap_len + times_len;
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("packed minutes of %zu bytes are larger than a value can be", size)));
	head = palloc(size);
	memset(head, 0, front);
	SET_VARSIZE(head, size);
	head->width = width;
	head->times_width = times_width;
	head->users = (uint32) ranks.n;
	head->bitmap_len = (uint32) bitmap_len;
	write_front(head, hour, times, present);
	next = (char *) head + front;
	if (bitmap != NULL)
	{
		memcpy(next, VARDATA(bitmap), bitmap_len);
		next += bitmap_len;
		pfree(bitmap);
	}
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
		if (times[minute].bytes != NULL)
		{
			memcpy(next, times[minute].bytes, times[minute].size);
			next += times[minute].size;
			pfree(times[minute].bytes);
		}
	if (ranks.table != NULL)
		pfree(ranks.table);
	pfree(ranks.all);
	return PointerGetDatum(head);
}
