/*
 * sha256.c
 *
 * The one place that calls PostgreSQL's cryptohash functions.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/sha256.h"

#ifndef FRONTEND
#include "utils/memutils.h"
#endif

pg_cryptohash_ctx *
Sha256ContextCreate(void)
{
	return pg_cryptohash_create(PG_SHA256);
}

pg_cryptohash_ctx *
Sha256ProcessContext(void)
{
	static pg_cryptohash_ctx *context = NULL;

	if (context == NULL)
	{
#ifndef FRONTEND
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
#endif

		context = Sha256ContextCreate();
#ifndef FRONTEND
		MemoryContextSwitchTo(caller);
#endif
	}
	return context;
}

bool
Sha256(pg_cryptohash_ctx *context, const Slice *pieces, int n, Sha256Digest *digest)
{
	if (context == NULL || pg_cryptohash_init(context) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (pg_cryptohash_update(context, (const uint8 *) pieces[i].data, pieces[i].len) < 0)
			return false;
	return pg_cryptohash_final(context, digest->bytes, sizeof(digest->bytes)) >= 0;
}

bool
Sha256Once(Slice text, Sha256Digest *digest)
{
	pg_cryptohash_ctx *context = Sha256ContextCreate();
	bool done = Sha256(context, &text, 1, digest);

	pg_cryptohash_free(context);
	return done;
}

bool
Sha256DigestEquals(const Sha256Digest *a, const Sha256Digest *b)
{
	const volatile uint8 *left = a->bytes;
	const volatile uint8 *right = b->bytes;
	uint8 difference = 0;

	for (int i = 0; i < (int) sizeof(a->bytes); i++)
		difference |= left[i] ^ right[i];
	return difference == 0;
}
