/*
 * user_hash.c
 *
 * Hashes user_ids.
 */
#include "postgres.h"

#include "rollup/users/user_hash.h"

#include "base/sha256.h"
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
	hasher->context = Sha256ContextCreate();
	return hasher;
}

UserHash
UserHashOf(UserHasher *hasher, const char *user_id, size_t len)
{
	Slice pieces[] = {{(const char *) hasher->secret, USER_SECRET_SIZE}, {user_id, len}};
	Sha256Digest digest;
	UserHash hash;

	if (!Sha256(hasher->context, pieces, lengthof(pieces), &digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	memcpy(hash.bytes, digest.bytes, USER_HASH_SIZE);
	return hash;
}

void
UserHasherFree(UserHasher *hasher)
{
	pg_cryptohash_free(hasher->context);
	pfree(hasher);
}
