/*
 * rate_limits.h
 *
 * The token buckets of client addresses, API keys and channels, in shared memory, so that
 * all listeners take from the same ones.
 */
#ifndef FAST_INGEST_RATE_LIMITS_H
#define FAST_INGEST_RATE_LIMITS_H

#include "shared/shared_part.h"
#include "shared/types/token_bucket.h"

typedef enum
{
	RATE_CLIENTS,
	RATE_KEYS,
	RATE_CHANNELS,
	NUM_RATE_TABLES
} RateTableKind;

/* NULL where fast_ingest was not preloaded. */
extern RateTable *RateTables[NUM_RATE_TABLES];

extern const SharedPart RateTablesPart;

#endif
