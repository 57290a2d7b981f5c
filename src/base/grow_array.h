/*
 * grow_array.h
 *
 * Arrays that grow as items are added, to any size.
 */
#ifndef FAST_INGEST_GROW_ARRAY_H
#define FAST_INGEST_GROW_ARRAY_H

#include "utils/memutils.h"

/*
 * Make room for one more behind the n items of an array. Returns the array, which may have
 * moved. The first call, with items NULL and room 0, allocates it in the context. An ERROR
 * without memory.
 */
static inline void *
GrowArray(MemoryContext context, void *items, uint32 n, uint32 *room, size_t size)
{
	if (n < *room)
		return items;
	*room = n == 0 ? 16 : n * 2;
	return items == NULL ? MemoryContextAlloc(context, *room * size)
						 : repalloc_huge(items, *room * size);
}

#endif
