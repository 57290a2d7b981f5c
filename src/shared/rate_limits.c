/*
 * rate_limits.c
 *
 * The sizes of the tables, and where they are.
 */
#include "postgres.h"

#include "shared/rate_limits.h"

#include "storage/shmem.h"

#include "base/seed.h"
#include "base/settings.h"

/* Channels in debt at a time. Limits per channel are of use only if channels are few. */
#define CHANNELS 4096

/* Four times as many as there can be, so that practically every key has its own bucket. */
#define KEYS (4 * fi_max_api_keys)

RateTable *RateTables[NUM_RATE_TABLES];

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

static Size
table_room(RateTableKind kind)
{
	return MAXALIGN(RateTableSize(ids_of(kind)));
}

static Size
tables_size(void)
{
	Size size = 0;

	for (int kind = 0; kind < NUM_RATE_TABLES; kind++)
		size = add_size(size, table_room(kind));
	return size;
}

static void
attach_tables(void *memory, LWLock *lock, bool is_new)
{
	char *next = memory;

	for (int kind = 0; kind < NUM_RATE_TABLES; kind++)
	{
		RateTables[kind] = (RateTable *) next;
		if (is_new)
			RateTableInit(RateTables[kind], ids_of(kind), RandomSeed());
		next += table_room(kind);
	}
}

const SharedPart RateTablesPart = {"fast_ingest rates", NULL, tables_size, attach_tables};
