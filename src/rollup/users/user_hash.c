/*
 * user_hash.c
 *
 * Hashing user_ids.
 */
#include "postgres.h"

#include "rollup/users/user_hash.h"

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "base/compat.h"
#include "rollup/users/user_secret.h"

struct UserHasher
{
	pg_cryptohash_ctx *context;
	uint8 secret[USER_SECRET_SIZE];
};

UserHasher *
UserHasherCreate(void)
{
	UserHasher *hasher = palloc(sizeof(UserHasher));

	memcpy(hasher->secret, UserSecret(), USER_SECRET_SIZE);
	hasher->context = pg_cryptohash_create(PG_SHA256);
	return hasher;
}

UserHash
UserHashOf(UserHasher *hasher, const char *user_id, size_t len)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	UserHash hash;

	if (hasher->context == NULL || pg_cryptohash_init(hasher->context) < 0 ||
		pg_cryptohash_update(hasher->context, hasher->secret, USER_SECRET_SIZE) < 0 ||
		pg_cryptohash_update(hasher->context, (const uint8 *) user_id, len) < 0 ||
		pg_cryptohash_final(hasher->context, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	memcpy(hash.bytes, digest, USER_HASH_SIZE);
	return hash;
}

void
UserHasherFree(UserHasher *hasher)
{
	pg_cryptohash_free(hasher->context);
	pfree(hasher);
}
