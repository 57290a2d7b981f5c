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
get_number_of_ids(RateTableKind kind)
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
compute_rate_table_size(RateTableKind kind)
{
	return MAXALIGN(RateTableSize(get_number_of_ids(kind)));
}

static Size
compute_tables_size(void)
{
	Size size = 0;

	for (int kind = 0; kind < NUM_RATE_TABLES; kind++)
		size = add_size(size, compute_rate_table_size(kind));
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
			RateTableInit(RateTables[kind], get_number_of_ids(kind), RandomSeed());
		next += compute_rate_table_size(kind);
	}
}

const SharedPart RateTablesPart = {"fast_ingest rates", NULL, compute_tables_size, attach_tables};
