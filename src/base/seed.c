/*
 * seed.c
 *
 * Drawing seeds.
 */
#include "postgres.h"

#include "base/seed.h"

uint64
RandomSeed(void)
{
	uint64 seed;

	if (!pg_strong_random(&seed, sizeof(seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random numbers")));
	return seed;
}

uint64
ProcessSeed(void)
{
	static bool drawn = false;
	static uint64 seed;

	if (!drawn)
	{
		seed = RandomSeed();
		drawn = true;
	}
	return seed;
}
