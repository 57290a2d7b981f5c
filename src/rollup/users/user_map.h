/*
 * user_map.h
 *
 * A hash table from the hashes of users to numbers.
 */
#ifndef FAST_INGEST_USER_MAP_H
#define FAST_INGEST_USER_MAP_H

#include "common/hashfn.h"

#include "base/seed.h"
#include "rollup/users/user_hash.h"

typedef struct
{
	UserHash user;
	uint32 number;
	char status; /* of the table's slot, for simplehash.h */
} UserMapEntry;

static inline uint32
user_map_hash_of(UserHash user)
{
	return (uint32) hash_bytes_extended(user.bytes, USER_HASH_SIZE, ProcessSeed());
}

#define SH_PREFIX user_map
#define SH_ELEMENT_TYPE UserMapEntry
#define SH_KEY_TYPE UserHash
#define SH_KEY user
#define SH_HASH_KEY(map, key) user_map_hash_of(key)
#define SH_EQUAL(map, a, b) (memcmp((a).bytes, (b).bytes, USER_HASH_SIZE) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef user_map_hash UserMap;

/* Create a map in a memory context, with room for the expected number of users; it grows. */
static inline UserMap *
UserMapCreate(MemoryContext context, uint32 expected)
{
	return user_map_create(context, expected, NULL);
}

/*
 * Find the entry of a user, or add one whose number the caller must set. The entry is valid
 * until the next user is added.
 */
static inline UserMapEntry *
UserMapAdd(UserMap *map, UserHash user, bool *found)
{
	return user_map_insert(map, user, found);
}

/* Find the entry of a user; NULL if there is none. */
static inline const UserMapEntry *
UserMapFind(UserMap *map, UserHash user)
{
	return user_map_lookup(map, user);
}

#endif
