/*
 * api_key.c
 *
 * Making, reading and finding API keys. Nothing here raises an error, because the
 * listener calls it inside libmicrohttpd.
 */
#include "postgres.h"

#include "auth/api_key.h"

#include "base/sha256.h"

#define RANDOM_BYTES ((API_KEY_ID_DIGITS + API_KEY_SECRET_DIGITS) / 2)

static const struct
{
	ApiScope scope;
	const char *name;
} scopes[] = {
	{API_SCOPE_WRITE, "write"},
	{API_SCOPE_READ, "read"},
	{API_SCOPE_ADMIN, "admin"},
};

const char *
ApiScopeName(ApiScope scope)
{
	for (int i = 0; i < (int) lengthof(scopes); i++)
		if (scopes[i].scope == scope)
			return scopes[i].name;
	return "";
}

ApiScope
ApiScopeOf(const char *name, size_t len)
{
	for (int i = 0; i < (int) lengthof(scopes); i++)
		if (strlen(scopes[i].name) == len && memcmp(scopes[i].name, name, len) == 0)
			return scopes[i].scope;
	return API_SCOPE_NONE;
}

bool
ApiKeyMake(char *text)
{
	uint8 random[RANDOM_BYTES];
	char *end = text + sprintf(text, API_KEY_PREFIX);

	if (!pg_strong_random(random, sizeof(random)))
		return false;
	for (int i = 0; i < RANDOM_BYTES; i++)
	{
		if (i == API_KEY_ID_DIGITS / 2)
			*end++ = '_';
		end += sprintf(end, "%02x", random[i]);
	}
	explicit_bzero(random, sizeof(random));
	return true;
}

bool
ApiKeyParseId(const char *digits, size_t len, uint64 *id)
{
	if (len != API_KEY_ID_DIGITS)
		return false;
	*id = 0;
	for (size_t i = 0; i < len; i++)
	{
		char c = digits[i];

		if (c >= '0' && c <= '9')
			*id = *id << 4 | (uint64) (c - '0');
		else if (c >= 'a' && c <= 'f')
			*id = *id << 4 | (uint64) (c - 'a' + 10);
		else
			return false;
	}
	return true;
}

/*
 * Read the id of a key that a client sent; false if the text does not have the form of a key
 */
static bool
read_id(const char *text, uint64 *id)
{
	const char *digits = text + strlen(API_KEY_PREFIX);

	return strlen(text) == API_KEY_LENGTH &&
		   strncmp(text, API_KEY_PREFIX, strlen(API_KEY_PREFIX)) == 0 &&
		   digits[API_KEY_ID_DIGITS] == '_' && ApiKeyParseId(digits, API_KEY_ID_DIGITS, id);
}

const ApiKey *
ApiKeyFind(const char *text)
{
	Slice whole = {text, strlen(text)};
	Sha256Digest digest;
	uint64 id;

	if (!read_id(text, &id) || !Sha256(Sha256ProcessContext(), &whole, 1, &digest))
		return NULL;
	return KeyImageFind(id, &digest);
}
