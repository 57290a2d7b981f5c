/*
 * api_key.h
 *
 * API keys as clients send them: fi_<id>_<random>. The id has 12 hexadecimal digits, finds
 * the key and is no secret. Behind it are 256 random bits. The server keeps the SHA-256 of
 * the whole text, from which the text cannot be computed.
 */
#ifndef FAST_INGEST_API_KEY_H
#define FAST_INGEST_API_KEY_H

#include "shared/key_image.h"

#define API_KEY_PREFIX "fi_"
#define API_KEY_ID_DIGITS 12
#define API_KEY_SECRET_DIGITS 64
#define API_KEY_LENGTH (3 + API_KEY_ID_DIGITS + 1 + API_KEY_SECRET_DIGITS)

/* What a key permits: bits, none of which includes another. */
typedef enum
{
	API_SCOPE_NONE = 0,
	API_SCOPE_WRITE = 1, /* POST of events */
	API_SCOPE_READ = 2,	 /* GET of metrics */
	API_SCOPE_ADMIN = 4, /* what concerns operation */
	API_SCOPE_ANY = API_SCOPE_WRITE | API_SCOPE_READ | API_SCOPE_ADMIN
} ApiScope;

/* The name of one scope; "" for API_SCOPE_NONE and for several scopes. */
extern const char *ApiScopeName(ApiScope scope);

/* The scope of a name of len bytes; API_SCOPE_NONE if no scope has that name. */
extern ApiScope ApiScopeOf(const char *name, size_t len);

/*
 * Make a key. text has room for API_KEY_LENGTH bytes and a NUL. False if the system has no
 * random numbers.
 */
extern bool ApiKeyMake(char *text);

/* Read an id alone; false if it is not exactly API_KEY_ID_DIGITS lower-case digits. */
extern bool ApiKeyParseId(const char *digits, size_t len, uint64 *id);

/*
 * Find a key that a client sent in this process's copy of the image (see key_image.h); NULL
 * if it is not valid. What it points to belongs to the copy until KeyImageRefresh().
 */
extern const ApiKey *ApiKeyFind(const char *text);

#endif
