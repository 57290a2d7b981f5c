/*
 * rate_limits.h
 *
 * The token buckets of keys, clients and channels, in shared memory, so that all
 * listeners take from the same ones (see token_bucket.h for who may do so when).
 */
#ifndef FAST_INGEST_RATE_LIMITS_H
#define FAST_INGEST_RATE_LIMITS_H

#include "shared/shared_part.h"
#include "shared/token_bucket.h"

typedef enum
{
	RATE_CLIENTS,
	RATE_KEYS,
	RATE_CHANNELS,
	NUM_RATE_TABLES
} RateTableKind;

extern RateTable *RateTables[NUM_RATE_TABLES];

extern const SharedPart RateTablesPart;

#endif
