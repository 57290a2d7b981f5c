/*
 * user_hash.c
 *
 * Hashing user_ids.
 */
#include "postgres.h"

#include "rollup/user_hash.h"

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "compat.h"

UserHasher *
UserHasherCreate(void)
{
	return pg_cryptohash_create(PG_SHA256);
}

UserHash
UserHashOf(UserHasher *hasher, const char *user_id, size_t len)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	UserHash hash;

	if (hasher == NULL || pg_cryptohash_init(hasher) < 0 ||
		pg_cryptohash_update(hasher, (const uint8 *) user_id, len) < 0 ||
		pg_cryptohash_final(hasher, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	memcpy(hash.bytes, digest, USER_HASH_SIZE);
	return hash;
}

void
UserHasherFree(UserHasher *hasher)
{
	pg_cryptohash_free(hasher);
}
