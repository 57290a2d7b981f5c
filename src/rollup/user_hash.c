/*
 * user_hash.c
 *
 * Hashing user_ids.
 */
#include "postgres.h"

#include "rollup/user_hash.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "table_rows.h"

#define SECRET_SIZE 32

struct UserHasher
{
	pg_cryptohash_ctx *context;
	uint8 secret[SECRET_SIZE];
};

/*
 * Read the secret, which every statement does anew: a restore replaces it. An ERROR
 * without one: to hash without it would make strangers of all users.
 */
static void
read_secret(uint8 secret[SECRET_SIZE])
{
	TableRows rows;
	bool found;

	PushActiveSnapshot(GetLatestSnapshot());
	TableRowsBegin(&rows, "secret", AccessShareLock, GetActiveSnapshot());
	found = TableRowsNext(&rows);
	if (found)
	{
		bool isnull;
		struct varlena *value = PG_DETOAST_DATUM_PACKED(slot_getattr(rows.slot, 1, &isnull));

		found = VARSIZE_ANY_EXHDR(value) == SECRET_SIZE;
		if (found)
			memcpy(secret, VARDATA_ANY(value), SECRET_SIZE);
	}
	TableRowsEnd(&rows);
	PopActiveSnapshot();
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fast_ingest.secret has no secret of %d bytes", SECRET_SIZE),
				 errhint("Insert the row of fast_ingest.secret of a dump of this database.")));
}

UserHasher *
UserHasherCreate(void)
{
	UserHasher *hasher = palloc(sizeof(UserHasher));

	read_secret(hasher->secret);
	hasher->context = pg_cryptohash_create(PG_SHA256);
	return hasher;
}

UserHash
UserHashOf(UserHasher *hasher, const char *user_id, size_t len)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	UserHash hash;

	if (hasher->context == NULL || pg_cryptohash_init(hasher->context) < 0 ||
		pg_cryptohash_update(hasher->context, hasher->secret, SECRET_SIZE) < 0 ||
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
