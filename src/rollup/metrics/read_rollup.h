/*
 * read_rollup.h
 *
 * Reading rows of the rollup for an answer, in the active snapshot.
 */
#ifndef FAST_INGEST_READ_ROLLUP_H
#define FAST_INGEST_READ_ROLLUP_H

#include "base/time_ranges.h"

/* A row of fast_ingest.rollup; pointers are valid while it is visited. */
typedef struct
{
	TimestampTz bucket;
	const char *key; /* NULL: keys that are counted together */
	int key_len;
	int64 events;
	int64 unique_users;
	Datum users;   /* fi_user_set, not detoasted; 0 for NULL */
	Datum minutes; /* bytea, not detoasted; 0 for NULL */
} RollupRow;

typedef void (*RollupRowVisitor)(const RollupRow *row, void *arg);

/*
 * Show a visitor the rows of a level in a span, with one key or with any (NULL).
 * Returns how many. Needs SPI.
 */
extern int64 RollupRows(int breakdown, BucketLevel level, const char *event_name, const char *key,
						TimeRange span, RollupRowVisitor visitor, void *arg);

/*
 * Show a visitor the rows of days of all event_names with a scope. Returns how
 * many. Needs SPI.
 */
extern int64 RollupScopeRows(int breakdown, const char *scope, TimestampTz day,
							 RollupRowVisitor visitor, void *arg);

/* From where to where the rollup has rows of an event_name; an empty span if nowhere. Needs SPI. */
extern TimeRange RollupExtent(const char *event_name);

#endif
