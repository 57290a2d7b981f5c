/*
 * user_hash.h
 *
 * What deltas, the dictionary and answers know users by: the SHA-256 of the
 * database's secret (fast_ingest.secret) and the user_id, cut to half. Without the
 * secret nobody can tell whose hash it is, or find two user_ids with one hash. The
 * secret has a fixed length, so different user_ids are different texts to hash; the
 * half that is cut off keeps a hash from being continued to that of a longer user_id.
 */
#ifndef FAST_INGEST_USER_HASH_H
#define FAST_INGEST_USER_HASH_H

#include "base/user_map.h"

/*
 * Read the secret, in whosever name, and begin. A hasher lives in the current memory
 * context and within a transaction; after an ERROR the transaction's end frees it.
 */
typedef struct UserHasher UserHasher;
extern UserHasher *UserHasherCreate(void);
extern UserHash UserHashOf(UserHasher *hasher, const char *user_id, size_t len);
extern void UserHasherFree(UserHasher *hasher);

#endif
