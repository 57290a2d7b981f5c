/*
 * text_map.h
 *
 * A hash table from texts to a value of the caller's. It copies the texts into its own
 * memory context and adds a NUL behind each.
 */
#ifndef FAST_INGEST_TEXT_MAP_H
#define FAST_INGEST_TEXT_MAP_H

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "base/seed.h"
#include "base/text_slice.h"

typedef struct
{
	Slice text;
	uint32 hash;
	char status; /* of the table's slot, for simplehash.h */
	union		 /* the caller's value */
	{
		uint32 number;
		int64 count;
		void *pointer;
	};
} TextMapEntry;

static inline uint32
text_map_hash_of(Slice text)
{
	return (uint32) hash_bytes_extended((const unsigned char *) text.data, (int) text.len,
										ProcessSeed());
}

#define SH_PREFIX text_map
#define SH_ELEMENT_TYPE TextMapEntry
#define SH_KEY_TYPE Slice
#define SH_KEY text
#define SH_HASH_KEY(map, key) text_map_hash_of(key)
#define SH_EQUAL(map, a, b) ((a).len == (b).len && memcmp((a).data, (b).data, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(map, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef text_map_hash TextMap;

/* Create a map in a memory context, with room for the expected number of texts; it grows. */
static inline TextMap *
TextMapCreate(MemoryContext context, uint32 expected)
{
	return text_map_create(context, expected, NULL);
}

/*
 * Find the entry of a text, or add one whose value the caller must set. The entry is valid
 * until the next text is added.
 */
static inline TextMapEntry *
TextMapAdd(TextMap *map, Slice text, bool *found)
{
	TextMapEntry *entry = text_map_insert(map, text, found);

	if (!*found)
	{
		char *copy = MemoryContextAlloc(map->ctx, text.len + 1);

		memcpy(copy, text.data, text.len);
		copy[text.len] = '\0';
		entry->text.data = copy;
	}
	return entry;
}

/* Has a map an entry of a text? */
static inline bool
TextMapHas(TextMap *map, Slice text)
{
	return text_map_lookup(map, text) != NULL;
}

#endif
