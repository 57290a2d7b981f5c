/*
 * user_hash.h
 *
 * What deltas, the dictionary and answers know users by: the SHA-256 of the
 * user_id, cut.
 */
#ifndef FAST_INGEST_USER_HASH_H
#define FAST_INGEST_USER_HASH_H

#define USER_HASH_SIZE 16

typedef struct
{
	uint8 bytes[USER_HASH_SIZE];
} UserHash;

/* A hasher lives within a transaction; after an ERROR the transaction's end frees it. */
typedef struct pg_cryptohash_ctx UserHasher;
extern UserHasher *UserHasherCreate(void);
extern UserHash UserHashOf(UserHasher *hasher, const char *user_id, size_t len);
extern void UserHasherFree(UserHasher *hasher);

#endif
