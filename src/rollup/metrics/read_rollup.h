/*
 * read_rollup.h
 *
 * Reads rows of fast_ingest.rollup for an answer, in the active snapshot. All functions need
 * SPI.
 */
#ifndef FAST_INGEST_READ_ROLLUP_H
#define FAST_INGEST_READ_ROLLUP_H

#include "base/time_ranges.h"

/* A row of fast_ingest.rollup. Pointers are valid while it is visited. */
typedef struct
{
	TimestampTz bucket;
	const char *key; /* NULL: the keys that are counted together */
	int key_len;
	int64 events;
	int64 unique_users;
	Datum users;   /* fi_user_set, not detoasted; 0 for NULL */
	Datum minutes; /* bytea, not detoasted; 0 for NULL */
} RollupRow;

typedef void (*RollupRowVisitor)(const RollupRow *row, void *arg);

/*
 * Call a visitor for the rows of a breakdown, a level and an event_name whose buckets begin in
 * a range; with one key, or with any (NULL). Returns how many there are.
 */
extern int64 RollupRows(int breakdown, BucketLevel level, const char *event_name, const char *key,
						TimeRange range, RollupRowVisitor visitor, void *arg);

/*
 * Call a visitor for the rows of a breakdown, a scope and a day, of all event_names. Returns
 * how many there are.
 */
extern int64 RollupScopeRows(int breakdown, const char *scope, TimestampTz day,
							 RollupRowVisitor visitor, void *arg);

/*
 * Find the range in which the rollup has rows of an event_name. If it has none, the range is
 * empty: from TIME_END to TIME_BEGIN.
 */
extern TimeRange RollupExtent(const char *event_name);

#endif
