/*
 * conditions_fuzz.c
 *
 * Fuzzes what reads Accept-Encoding and If-None-Match, with the whole input as the value of each.
 *
 * For any bytes: weights are of 0 to 1, the same line again changes nothing, what is refused once
 * is refused, and no tag is found that is not there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/pages/conditions.h"

#define TAG "W/\"0123456789abcdef\""

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static bool
is_weight(int weight)
{
	return weight >= -1 && weight <= 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* an allocation of exactly that size, so that the sanitizer notices any byte too far */
	char *value = malloc(size + 1);
	AcceptedCodings codings = ACCEPTED_CODINGS_NONE;
	AcceptedCodings before;

	memcpy(value, data, size);
	value[size] = '\0';
	AcceptEncodingRead(value, &codings);
	require(is_weight(codings.gzip) && is_weight(codings.identity) && is_weight(codings.any));
	before = codings;
	AcceptEncodingRead(value, &codings);
	require(memcmp(&before, &codings, sizeof(codings)) == 0);
	AcceptEncodingRead("gzip;q=0", &codings);
	require(!AcceptedCodingsPreferGzip(&codings));
	if (EntityTagIsListed(value, TAG))
		require(strchr(value, '*') != NULL || strstr(value, &TAG[2]) != NULL);
	require(memcmp(value, data, size) == 0);
	free(value);
	return 0;
}
