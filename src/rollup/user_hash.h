/*
 * user_hash.h
 *
 * What deltas, the dictionary and answers know users by: the SHA-256 of the
 * database's secret and the user_id, cut. A hash says nothing to who does not
 * have the secret (fast_ingest.secret), and nobody can make two user_ids with
 * one hash. What is cut off is what another message that begins with the same
 * bytes could be hashed from.
 */
#ifndef FAST_INGEST_USER_HASH_H
#define FAST_INGEST_USER_HASH_H

#define USER_HASH_SIZE 16

typedef struct
{
	uint8 bytes[USER_HASH_SIZE];
} UserHash;

/*
 * Read the secret, in whosever name, and begin. A hasher lives in the current memory
 * context and within a transaction; after an ERROR the transaction's end frees it.
 */
typedef struct UserHasher UserHasher;
extern UserHasher *UserHasherCreate(void);
extern UserHash UserHashOf(UserHasher *hasher, const char *user_id, size_t len);
extern void UserHasherFree(UserHasher *hasher);

#endif
