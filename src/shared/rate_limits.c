/*
 * rate_limits.c
 *
 * Sizes and makes the tables of token buckets.
 */
#include "postgres.h"

#include "shared/rate_limits.h"

#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/seed.h"
#include "base/settings.h"

/* Channels in debt at a time; channels are few, or it is no use to limit them. */
#define CHANNELS 4096

/* So thinly filled that no key is left without a bucket of its own. */
#define KEYS (4 * fi_max_api_keys)

RateTable *RateTables[NUM_RATE_TABLES];

static const char *const names[NUM_RATE_TABLES] = {
	"fast_ingest client rates", "fast_ingest key rates", "fast_ingest channel rates"};

static int
ids_of(RateTableKind kind)
{
	switch (kind)
	{
		case RATE_CLIENTS:
			return fi_rate_limit_clients;
		case RATE_KEYS:
			return KEYS;
		default:
			return CHANNELS;
	}
}

void
RateTablesRequest(void)
{
	for (int kind = 0; kind < NUM_RATE_TABLES; kind++)
		RequestAddinShmemSpace(MAXALIGN(RateTableSize(ids_of(kind))));
}

void
RateTablesStartup(void)
{
	for (int kind = 0; kind < NUM_RATE_TABLES; kind++)
	{
		bool found;

		RateTables[kind] = ShmemInitStruct(names[kind], RateTableSize(ids_of(kind)), &found);
		if (found)
			continue;
		RateTableInit(RateTables[kind], ids_of(kind), RandomSeed());
	}
}
