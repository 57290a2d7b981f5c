/*
 * time_ranges.c
 *
 * Lists of spans.
 */
#include "postgres.h"

#include "base/time_ranges.h"

#include "utils/timestamp.h"

#include "base/grow_array.h"

void
TimeRangeToColumns(TimeRange span, Datum columns[2])
{
	columns[0] = TimestampTzGetDatum(span.low <= TIME_BEGIN ? DT_NOBEGIN : span.low);
	columns[1] = TimestampTzGetDatum(span.high >= TIME_END ? DT_NOEND : span.high);
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
	list->spans =
		GrowArray(CurrentMemoryContext, list->spans, list->n, &list->room, sizeof(TimeRange));
	list->spans[list->n++] = (TimeRange){low, high};
}

void
TimeRangeListAdd(TimeRangeList *list, TimestampTz low, TimestampTz high)
{
	if (low < high && list->n > 0 && low <= list->spans[list->n - 1].high)
		list->spans[list->n - 1].high = Max(list->spans[list->n - 1].high, high);
	else
		TimeRangeListAppend(list, low, high);
}

static int
compare_spans(const void *a, const void *b)
{
	TimestampTz left = ((const TimeRange *) a)->low;
	TimestampTz right = ((const TimeRange *) b)->low;

	return (left > right) - (left < right);
}

void
TimeRangeListSort(TimeRangeList *list)
{
	if (list->n > 0)
		qsort(list->spans, list->n, sizeof(TimeRange), compare_spans);
}

void
TimeRangeListJoin(TimeRangeList *list)
{
	int n = list->n;

	TimeRangeListSort(list);
	list->n = 0;
	for (int i = 0; i < n; i++)
		TimeRangeListAdd(list, list->spans[i].low, list->spans[i].high);
}

bool
TimeRangeListTouches(const TimeRangeList *list, TimestampTz low, TimestampTz high)
{
	int first = 0;
	int last = list->n;

	while (first < last)
	{
		int middle = (first + last) / 2;

		if (list->spans[middle].high <= low)
			first = middle + 1;
		else
			last = middle;
	}
	return first < list->n && list->spans[first].low < high;
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
		bool from_a = j == b->n || (i < a->n && a->spans[i].low <= b->spans[j].low);
		const TimeRange *next = from_a ? &a->spans[i++] : &b->spans[j++];

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
		TimestampTz low = a->spans[i].low;

		while (j < b->n && b->spans[j].high <= low)
			j++;
		for (int k = j; k < b->n && b->spans[k].low < a->spans[i].high; k++)
		{
			TimeRangeListAdd(list, low, b->spans[k].low);
			low = b->spans[k].high;
		}
		TimeRangeListAdd(list, low, a->spans[i].high);
	}
	return list;
}

TimeRangeList *
TimeRangeListIntersection(const TimeRangeList *a, const TimeRangeList *b)
{
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));

	for (int i = 0, j = 0; i < a->n && j < b->n;)
	{
		TimeRangeListAdd(list, Max(a->spans[i].low, b->spans[j].low),
						 Min(a->spans[i].high, b->spans[j].high));
		if (a->spans[i].high < b->spans[j].high)
			i++;
		else
			j++;
	}
	return list;
}
