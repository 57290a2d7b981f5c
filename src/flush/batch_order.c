/*
 * batch_order.c
 *
 * A flusher that inserts an event_key which another flusher has inserted and not yet
 * committed waits for that one. If all of them insert their keys in one order, no two can
 * wait for each other. The day is part of the order, as several partitions may have the
 * same key.
 */
#include "postgres.h"

#include "flush/batch_order.h"

#include "event/content_key.h"
#include "event/tuple.h"

typedef struct
{
	int32 day;
	int index;		 /* in the batch */
	const char *key; /* NULL without one */
} OrderItem;

static int
compare_items(const void *left, const void *right)
{
	const OrderItem *a = left;
	const OrderItem *b = right;
	int result = 0;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	if (a->key != NULL && b->key != NULL)
		result = memcmp(a->key, b->key, EVENT_KEY_SIZE);
	else if (a->key != b->key)
		result = a->key == NULL ? -1 : 1;
	return result != 0 ? result : a->index - b->index;
}

RingRecord **
BatchOrder(RingRecord **records, int n)
{
	OrderItem *items = palloc_extended(Max(n, 1) * sizeof(OrderItem), MCXT_ALLOC_HUGE);
	RingRecord **ordered = palloc_extended(Max(n, 1) * sizeof(RingRecord *), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
		items[i] = (OrderItem){.day = records[i]->day,
							   .index = i,
							   .key = EventTupleKey((MinimalTuple) RecordPayload(records[i]))};
	qsort(items, n, sizeof(OrderItem), compare_items);
	for (int i = 0; i < n; i++)
		ordered[i] = records[items[i].index];
	pfree(items);
	return ordered;
}
