/*
 * span.c
 *
 * Lists of spans.
 */
#include "postgres.h"

#include "rollup/span.h"

#include "utils/timestamp.h"

#include "room.h"

void
SpanToColumns(Span span, Datum columns[2])
{
	columns[0] = TimestampTzGetDatum(span.low <= TIME_BEGIN ? DT_NOBEGIN : span.low);
	columns[1] = TimestampTzGetDatum(span.high >= TIME_END ? DT_NOEND : span.high);
}

Span
SpanFromColumns(TupleTableSlot *slot, int first_column)
{
	bool isnull;
	TimestampTz low = DatumGetTimestampTz(slot_getattr(slot, first_column, &isnull));
	TimestampTz high = DatumGetTimestampTz(slot_getattr(slot, first_column + 1, &isnull));

	return (Span){Max(low, TIME_BEGIN), Min(high, TIME_END)};
}

void
SpanListAppend(SpanList *list, TimestampTz low, TimestampTz high)
{
	if (low >= high)
		return;
	list->spans =
		RoomForOneMore(CurrentMemoryContext, list->spans, list->n, &list->room, sizeof(Span));
	list->spans[list->n++] = (Span){low, high};
}

void
SpanListAdd(SpanList *list, TimestampTz low, TimestampTz high)
{
	if (low < high && list->n > 0 && low <= list->spans[list->n - 1].high)
		list->spans[list->n - 1].high = Max(list->spans[list->n - 1].high, high);
	else
		SpanListAppend(list, low, high);
}

static int
compare_spans(const void *a, const void *b)
{
	TimestampTz left = ((const Span *) a)->low;
	TimestampTz right = ((const Span *) b)->low;

	return (left > right) - (left < right);
}

void
SpanListSort(SpanList *list)
{
	if (list->n > 0)
		qsort(list->spans, list->n, sizeof(Span), compare_spans);
}

void
SpanListJoin(SpanList *list)
{
	int n = list->n;

	SpanListSort(list);
	list->n = 0;
	for (int i = 0; i < n; i++)
		SpanListAdd(list, list->spans[i].low, list->spans[i].high);
}

bool
SpanListTouches(const SpanList *list, TimestampTz low, TimestampTz high)
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
SpanListHas(const SpanList *list, TimestampTz ts)
{
	return SpanListTouches(list, ts, ts + 1);
}

SpanList *
SpanListUnion(const SpanList *a, const SpanList *b)
{
	SpanList *list = palloc0(sizeof(SpanList));

	for (int i = 0, j = 0; i < a->n || j < b->n;)
	{
		bool from_a = j == b->n || (i < a->n && a->spans[i].low <= b->spans[j].low);
		const Span *next = from_a ? &a->spans[i++] : &b->spans[j++];

		SpanListAdd(list, next->low, next->high);
	}
	return list;
}

SpanList *
SpanListDifference(const SpanList *a, const SpanList *b)
{
	SpanList *list = palloc0(sizeof(SpanList));

	for (int i = 0, j = 0; i < a->n; i++)
	{
		TimestampTz low = a->spans[i].low;

		while (j < b->n && b->spans[j].high <= low)
			j++;
		for (int k = j; k < b->n && b->spans[k].low < a->spans[i].high; k++)
		{
			SpanListAdd(list, low, b->spans[k].low);
			low = b->spans[k].high;
		}
		SpanListAdd(list, low, a->spans[i].high);
	}
	return list;
}

SpanList *
SpanListIntersection(const SpanList *a, const SpanList *b)
{
	SpanList *list = palloc0(sizeof(SpanList));

	for (int i = 0, j = 0; i < a->n && j < b->n;)
	{
		SpanListAdd(list, Max(a->spans[i].low, b->spans[j].low),
					Min(a->spans[i].high, b->spans[j].high));
		if (a->spans[i].high < b->spans[j].high)
			i++;
		else
			j++;
	}
	return list;
}
