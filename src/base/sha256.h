/*
 * sha256.h
 *
 * SHA-256 by PostgreSQL's own functions. Nothing here raises an error, except that creating a
 * context may run out of memory. Needs no server.
 */
#ifndef FAST_INGEST_SHA256_H
#define FAST_INGEST_SHA256_H

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "base/text_slice.h"

typedef struct
{
	uint8 bytes[PG_SHA256_DIGEST_LENGTH];
} Sha256Digest;

/*
 * Create a context for any number of digests; NULL without memory. The caller frees it with
 * pg_cryptohash_free(). At the latest the current resource owner does.
 */
extern pg_cryptohash_ctx *Sha256ContextCreate(void);

/*
 * The context that the first call creates and the process keeps; NULL without memory. It
 * needs a current resource owner that lives as long as the process, as our workers have one.
 */
extern pg_cryptohash_ctx *Sha256ProcessContext(void);

/*
 * Digest the concatenation of n pieces. False if there is no context or the library that
 * computes it fails.
 */
extern bool Sha256(pg_cryptohash_ctx *context, const Slice *pieces, int n, Sha256Digest *digest);

/* Digest one text with a context that lives for this call only. False as above. */
extern bool Sha256Once(Slice text, Sha256Digest *digest);

/* Compare in a time that does not depend on where the digests differ. */
extern bool Sha256DigestEquals(const Sha256Digest *a, const Sha256Digest *b);

#endif
