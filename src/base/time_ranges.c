/*
 * time_ranges.c
 *
 * Ranges of time, lists of them, and buckets.
 */
#include "postgres.h"

#include "base/time_ranges.h"

#include "utils/timestamp.h"

#include "base/grow_array.h"

int64
TimeFloor(int64 ts, int64 width)
{
	int64 offset = ts % width;

	return ts - (offset < 0 ? offset + width : offset);
}

int64
TimeCeiling(int64 ts, int64 width)
{
	return TimeFloor(ts - 1, width) + width;
}

int64
BucketWidth(BucketLevel level)
{
	switch (level)
	{
		case LEVEL_MINUTE:
			return USECS_PER_MINUTE;
		case LEVEL_HOUR:
			return USECS_PER_HOUR;
		default:
			return USECS_PER_DAY;
	}
}

int64
BucketStart(int64 ts, BucketLevel level)
{
	return TimeFloor(ts, BucketWidth(level));
}

int64
BucketEnd(int64 ts, BucketLevel level)
{
	return TimeCeiling(ts, BucketWidth(level));
}

void
TimeRangeToColumns(TimeRange range, Datum columns[2])
{
	columns[0] = TimestampTzGetDatum(range.low <= TIME_BEGIN ? DT_NOBEGIN : range.low);
	columns[1] = TimestampTzGetDatum(range.high >= TIME_END ? DT_NOEND : range.high);
}

TimeRange
TimeRangeFromColumns(TupleTableSlot *slot, int first_column)
{
	bool isnull;
	TimestampTz low = DatumGetTimestampTz(slot_getattr(slot, first_column, &isnull));
	TimestampTz high = DatumGetTimestampTz(slot_getattr(slot, first_column + 1, &isnull));

	return (TimeRange){Max(low, TIME_BEGIN), Min(high, TIME_END)};
}

void
TimeRangeListAppend(TimeRangeList *list, TimestampTz low, TimestampTz high)
{
	if (low >= high)
		return;
	list->ranges =
		GrowArray(CurrentMemoryContext, list->ranges, list->n, &list->room, sizeof(TimeRange));
	list->ranges[list->n++] = (TimeRange){low, high};
}

void
TimeRangeListAdd(TimeRangeList *list, TimestampTz low, TimestampTz high)
{
	if (low < high && list->n > 0 && low <= list->ranges[list->n - 1].high)
		list->ranges[list->n - 1].high = Max(list->ranges[list->n - 1].high, high);
	else
		TimeRangeListAppend(list, low, high);
}

static int
compare_range_starts(const void *a, const void *b)
{
	TimestampTz left = ((const TimeRange *) a)->low;
	TimestampTz right = ((const TimeRange *) b)->low;

	return (left > right) - (left < right);
}

void
TimeRangeListSort(TimeRangeList *list)
{
	if (list->n > 0)
		qsort(list->ranges, list->n, sizeof(TimeRange), compare_range_starts);
}

void
TimeRangeListJoin(TimeRangeList *list)
{
	int n = list->n;

	TimeRangeListSort(list);
	list->n = 0;
	for (int i = 0; i < n; i++)
		TimeRangeListAdd(list, list->ranges[i].low, list->ranges[i].high);
}

bool
TimeRangeListTouches(const TimeRangeList *list, TimestampTz low, TimestampTz high)
{
	int first = 0;
	int last = list->n;

	while (first < last)
	{
		int middle = (first + last) / 2;

		if (list->ranges[middle].high <= low)
			first = middle + 1;
		else
			last = middle;
	}
	return first < list->n && list->ranges[first].low < high;
}

bool
TimeRangeListHas(const TimeRangeList *list, TimestampTz ts)
{
	return TimeRangeListTouches(list, ts, ts + 1);
}

TimeRangeList *
TimeRangeListUnion(const TimeRangeList *a, const TimeRangeList *b)
{
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));

	for (int i = 0, j = 0; i < a->n || j < b->n;)
	{
		bool from_a = j == b->n || (i < a->n && a->ranges[i].low <= b->ranges[j].low);
		const TimeRange *next = from_a ? &a->ranges[i++] : &b->ranges[j++];

		TimeRangeListAdd(list, next->low, next->high);
	}
	return list;
}

TimeRangeList *
TimeRangeListDifference(const TimeRangeList *a, const TimeRangeList *b)
{
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));

	for (int i = 0, j = 0; i < a->n; i++)
	{
		TimestampTz low = a->ranges[i].low;

		while (j < b->n && b->ranges[j].high <= low)
			j++;
		for (int k = j; k < b->n && b->ranges[k].low < a->ranges[i].high; k++)
		{
			TimeRangeListAdd(list, low, b->ranges[k].low);
			low = b->ranges[k].high;
		}
		TimeRangeListAdd(list, low, a->ranges[i].high);
	}
	return list;
}

TimeRangeList *
TimeRangeListIntersection(const TimeRangeList *a, const TimeRangeList *b)
{
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));

	for (int i = 0, j = 0; i < a->n && j < b->n;)
	{
		TimeRangeListAdd(list, Max(a->ranges[i].low, b->ranges[j].low),
						 Min(a->ranges[i].high, b->ranges[j].high));
		if (a->ranges[i].high < b->ranges[j].high)
			i++;
		else
			j++;
	}
	return list;
}

TimeRangeList *
TimeRangeListWholeBuckets(const TimeRangeList *list, BucketLevel level)
{
	TimeRangeList *buckets = palloc0(sizeof(TimeRangeList));

	for (int i = 0; i < list->n; i++)
		TimeRangeListAdd(buckets, BucketStart(list->ranges[i].low, level),
						 BucketEnd(list->ranges[i].high, level));
	return buckets;
}
