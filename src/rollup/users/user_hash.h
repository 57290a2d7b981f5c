/*
 * user_hash.h
 *
 * Deltas, fast_ingest.users and answers know users by a hash: the first half of the SHA-256
 * of the database's secret (fast_ingest.secret) and the user_id. Without the secret, nobody
 * can find the user_id of a hash, or two user_ids with the same hash. The secret has a fixed
 * length, so different user_ids are different texts to hash. As half of the digest is
 * missing, nobody can compute the hash of a longer user_id from that of its beginning.
 */
#ifndef FAST_INGEST_USER_HASH_H
#define FAST_INGEST_USER_HASH_H

#define USER_HASH_SIZE 16

typedef struct
{
	uint8 bytes[USER_HASH_SIZE];
} UserHash;

typedef struct UserHasher UserHasher;

/*
 * Read the secret, whoever the current user is, and begin to hash. An ERROR (55000) if there
 * is no secret. The hasher lives in the current memory context and no longer than the
 * transaction, whose end frees it after an ERROR.
 */
extern UserHasher *UserHasherCreate(void);

/* The hash of a user_id of any length. An ERROR (XX000) if SHA-256 cannot be computed. */
extern UserHash UserHashOf(UserHasher *hasher, const char *user_id, size_t len);

/* Free a hasher. */
extern void UserHasherFree(UserHasher *hasher);

#endif
