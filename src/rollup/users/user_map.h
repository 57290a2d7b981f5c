/*
 * user_map.h
 *
 * A hash table from users to numbers.
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
	char status;
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

static inline UserMap *
UserMapCreate(MemoryContext context, uint32 expected)
{
	return user_map_create(context, expected, NULL);
}

/*
 * The entry of a user, who is added if not there: then the caller sets the
 * number. Valid until the next user is added.
 */
static inline UserMapEntry *
UserMapAdd(UserMap *map, UserHash user, bool *found)
{
	return user_map_insert(map, user, found);
}

#endif
