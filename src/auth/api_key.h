/*
 * api_key.h
 *
 * API keys as clients send them: fi_<id>_<random>. The id, 12 hexadecimal digits,
 * finds the key and is no secret; behind it are 256 random bits. The server keeps
 * the SHA-256 of the whole text, and nothing that the text could be made from.
 */
#ifndef FAST_INGEST_API_KEY_H
#define FAST_INGEST_API_KEY_H

#include "common/sha2.h"

#define API_KEY_PREFIX "fi_"
#define API_KEY_ID_DIGITS 12
#define API_KEY_SECRET_DIGITS 64
#define API_KEY_LENGTH (3 + API_KEY_ID_DIGITS + 1 + API_KEY_SECRET_DIGITS)

/* What a key is for: bits, none of which includes another. */
typedef enum
{
	API_SCOPE_NONE = 0,
	API_SCOPE_WRITE = 1, /* POST of events */
	API_SCOPE_READ = 2,	 /* GET of metrics */
	API_SCOPE_ADMIN = 4	 /* whatever is about operation */
} ApiScope;

/* A scope's name, and the scope of a name: API_SCOPE_NONE if there is none. */
extern const char *ApiScopeName(ApiScope scope);
extern ApiScope ApiScopeOf(const char *name, size_t len);

typedef struct
{
	uint8 bytes[PG_SHA256_DIGEST_LENGTH];
} ApiKeyDigest;

/* Make a key; text has room for API_KEY_LENGTH and a NUL. False without random numbers. */
extern bool ApiKeyMake(char *text);

/* Read the id of what a client sent; false if it is no key. */
extern bool ApiKeyReadId(const char *text, uint64 *id);

/* Read an id alone, of exactly API_KEY_ID_DIGITS digits. */
extern bool ApiKeyParseId(const char *digits, size_t len, uint64 *id);

/*
 * Digest a key, false without memory. The digests' context is made by the first
 * call and kept, and belongs to the resource owner of that moment, which must live
 * as long as the process; one that is made and freed in one go needs no such care.
 */
extern bool ApiKeyDigestKept(const char *text, ApiKeyDigest *digest);
extern bool ApiKeyDigestOnce(const char *text, ApiKeyDigest *digest);

/* Compare in a time that does not tell where they differ. */
extern bool ApiKeyDigestEquals(const ApiKeyDigest *a, const ApiKeyDigest *b);

#endif
