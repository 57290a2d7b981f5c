/*
 * time_list.c
 *
 * Merges the times of a minute, counts some of them, and finds the first and the last one.
 */
#include "postgres.h"

#include "rollup/sets/time_list.h"

#include "fmgr.h"
#include "utils/memutils.h"

#include "base/compat.h"

/* So many bytes hold the number of events. */
#define HEAD_BYTES 8

/*
 * Raise the error XX001 for a reader whose bytes are damaged; does nothing otherwise
 */
static void
check_reader(const MinuteTimesReader *reader)
{
	if (reader->damaged)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("times of a minute are damaged")));
}

/*
 * Forget the times, now and for ever
 */
static void
lose_times(TimeList *list)
{
	if (list->times != NULL)
		pfree(list->times);
	*list = (TimeList){0, true, NULL};
}

/*
 * Make room for n more times. False if they are too many: the list is lost
 */
static bool
grow_list(MemoryContext context, TimeList *list, uint32 n)
{
	Size size = ((Size) list->n + n) * sizeof(MinuteTime);

	if (list->is_lost || n > MINUTE_TIMES_MAX - list->n)
	{
		lose_times(list);
		return false;
	}
	list->times = list->times == NULL ? MemoryContextAllocHuge(context, Max(size, 1))
									  : repalloc_huge(list->times, size);
	return true;
}

void
TimeListAdd(MemoryContext context, TimeList *list, const MinuteTime *times, uint32 n)
{
	uint32 i = list->n;
	uint32 j = n;

	if (n == 0 || !grow_list(context, list, n))
		return;
	list->n += n;
	/* from the end, where there is room */
	while (j > 0)
	{
		bool from_list = i > 0 && list->times[i - 1].offset > times[j - 1].offset;

		list->times[i + j - 1] = from_list ? list->times[i - 1] : times[j - 1];
		i -= from_list;
		j -= !from_list;
	}
}

void
TimeListAddDatum(MemoryContext context, TimeList *list, Datum times)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(times);
	MinuteTimesReader reader;
	uint32 n = MinuteTimesOpen(&reader, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	MinuteTime *read;

	check_reader(&reader);
	read = palloc_extended(Max(n, 1) * sizeof(MinuteTime), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; MinuteTimesNext(&reader, &read[i]); i++)
		;
	check_reader(&reader);
	TimeListAdd(context, list, read, n);
	pfree(read);
	if ((Pointer) bytes != DatumGetPointer(times))
		pfree(bytes);
}

Datum
TimeListDatum(const TimeList *list)
{
	Size bound = VARHDRSZ + MinuteTimesBound(list->n);
	struct varlena *result;

	if (list->is_lost)
		return (Datum) 0;
	result = palloc_extended(bound, MCXT_ALLOC_HUGE);
	SET_VARSIZE(result,
				VARHDRSZ + MinuteTimesWrite(list->times, list->n, (uint8 *) VARDATA(result)));
	/* most of the bound is not needed */
	return PointerGetDatum(repalloc_huge(result, VARSIZE(result)));
}

uint32
TimesCount(Datum times)
{
	struct varlena *head = PG_DETOAST_DATUM_SLICE(times, 0, HEAD_BYTES);
	MinuteTimesReader reader = {.next = (uint8 *) VARDATA_ANY(head)};
	uint32 n;

	reader.end = reader.next + VARSIZE_ANY_EXHDR(head);
	n = MinuteTimesNumber(&reader) / 4;
	check_reader(&reader);
	pfree(head);
	return n;
}

int64
TimesCut(Datum times, uint32 low, uint32 high, UserSet *set)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(times);
	MinuteTimesReader reader;
	uint32 n = MinuteTimesOpen(&reader, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	uint32 *users = palloc_extended(Max(n, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
	size_t nusers = 0;
	int64 events = 0;
	MinuteTime time;

	while (MinuteTimesNext(&reader, &time) && time.offset < high)
	{
		if (time.offset < low)
			continue;
		events++;
		users[nusers] = time.user;
		nusers += time.user != MINUTE_NO_USER;
	}
	check_reader(&reader);
	UserSetAddUnordered(set, nusers, users);
	pfree(users);
	if ((Pointer) bytes != DatumGetPointer(times))
		pfree(bytes);
	return events;
}

bool
TimesEnds(Datum times, uint32 low, uint32 high, uint32 *first, uint32 *last)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(times);
	MinuteTimesReader reader;
	bool found = false;
	MinuteTime time;

	(void) MinuteTimesOpen(&reader, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	while (MinuteTimesNext(&reader, &time) && time.offset < high)
	{
		if (time.offset < low)
			continue;
		if (!found)
			*first = time.offset;
		*last = time.offset;
		found = true;
	}
	check_reader(&reader);
	if ((Pointer) bytes != DatumGetPointer(times))
		pfree(bytes);
	return found;
}
