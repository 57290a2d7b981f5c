/*
 * rollup_text.c
 *
 * Cuts long texts: what is kept, "... " and a hash in hexadecimal.
 */
#include "postgres.h"

#include "rollup/breakdown/rollup_text.h"

#include "mb/pg_wchar.h"

#include "rollup/users/user_hash.h"

int
RollupText(const char *text, size_t len, char result[ROLLUP_TEXT_SIZE])
{
	UserHasher *hasher;
	UserHash hash;
	int kept;

	if (len <= ROLLUP_TEXT_SIZE)
	{
		memcpy(result, text, len);
		return (int) len;
	}
	hasher = UserHasherCreate();
	hash = UserHashOf(hasher, text, len);
	UserHasherFree(hasher);
	kept = pg_mbcliplen(text, len, ROLLUP_TEXT_SIZE - 2 * USER_HASH_SIZE - 4);
	memcpy(result, text, kept);
	memcpy(result + kept, "... ", 4);
	kept += 4;
	for (int i = 0; i < USER_HASH_SIZE; i++)
	{
		result[kept++] = "0123456789abcdef"[hash.bytes[i] >> 4];
		result[kept++] = "0123456789abcdef"[hash.bytes[i] & 15];
	}
	return kept;
}
