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

/*
 * Build a table of the ranks of sorted users: the index is a user's number minus the least
 * number. Entries that belong to no user are undefined. NULL if there would be too many of
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
	table = MemoryContextAllocHuge(CurrentMemoryContext, size * sizeof(uint32));
	for (uint64 rank = 0; rank < nall; rank++)
		table[all[rank] - all[0]] = (uint32) rank;
	return table;
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
 * The bitmap of the numbers minute * N + rank, as a user set
 */
static UserSet *
pack_users(HourMinutes *hour, uint32 *nusers)
{
	UserSet *packed = UserSetCreate();
	UserSet *whole = HourMinutesAllUsers(hour);
	uint64 nall = UserSetCardinality(whole);
	uint32 *all;
	uint32 *table;

	if (nall > PACKED_MAX_USERS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("an hour of " UINT64_FORMAT
							   " users is larger than minutes can be packed for",
							   nall),
						errdetail("The limit is %u users.", PACKED_MAX_USERS)));
	all = UserSetNumbers(whole, &nall);
	table = build_rank_table(all, nall);
	for (int minute = 0; minute < MINS_PER_HOUR; minute++)
	{
		uint32 *users;
		uint64 n;

		CHECK_FOR_INTERRUPTS();
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
count_width(int64 events)
{
	return events <= PG_UINT8_MAX	 ? 1
		   : events <= PG_UINT16_MAX ? 2
		   : events <= PG_UINT32_MAX ? 4
									 : 8;
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
			width = Max(width, count_width(hour->events[minute]));
		}

	size = sizeof(PackedHead) + PackedCountsSize(width, present) + bitmap_len;
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("packed minutes of %zu bytes are larger than a value can be", size)));
	head = palloc0(size);
	SET_VARSIZE(head, size);
	head->version = PACKED_VERSION;
	head->width = width;
	head->users = nusers;
	head->present[0] = (uint32) present;
	head->present[1] = (uint32) (present >> 32);

	/* the first bytes of a count are its lower ones: roaring_check.c requires little-endian */
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
