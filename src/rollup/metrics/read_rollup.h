/*
 * read_rollup.h
 *
 * Reads rows of fast_ingest.rollup for an answer, in the active snapshot. All functions need
 * SPI.
 */
#ifndef FAST_INGEST_READ_ROLLUP_H
#define FAST_INGEST_READ_ROLLUP_H

#include "storage/itemptr.h"

#include "base/time_ranges.h"

/* A row of fast_ingest.rollup. Pointers are valid while it is visited. */
typedef struct
{
	TimestampTz bucket;
	const char *event_name; /* NULL: the names that are counted together */
	const char *scope;
	const char *key; /* NULL: the keys that are counted together */
	int event_name_len;
	int scope_len;
	int key_len;
	int64 events;
	int64 unique_users;
	Datum users;   /* fi_user_set, not detoasted; 0 for NULL */
	Datum minutes; /* bytea, not detoasted; 0 for NULL */
	ItemPointerData place;
} RollupRow;

typedef void (*RollupRowVisitor)(const RollupRow *row, void *arg);

/* Which rows are read: those of a breakdown and a level whose buckets begin in a range. */
typedef struct
{
	int breakdown;
	BucketLevel level;
	const char *event_name; /* NULL: of all names, also of those that are counted together */
	const char *scope;		/* NULL: of all scopes; not "" */
	const char *key;		/* NULL: of all keys, also of those that are counted together */
	TimeRange range;
} RollupSelection;

/* Call a visitor for the rows that are selected. Returns how many there are. */
extern int64 RollupRows(const RollupSelection *selection, RollupRowVisitor visitor, void *arg);

/* The same for another level and some ranges. */
extern int64 RollupRowsOfLevel(const RollupSelection *rows, BucketLevel level,
							   const TimeRangeList *ranges, RollupRowVisitor visitor, void *arg);

/* The same for the rows at some places, in any order. The snapshot has shown them. */
extern void RollupRowsAt(int n, const ItemPointerData *places, RollupRowVisitor visitor, void *arg);

/*
 * Find the range in which the rollup has rows of an event_name, or of any (NULL). If it has
 * none, the range is empty: from TIME_END to TIME_BEGIN.
 */
extern TimeRange RollupExtent(const char *event_name);

#endif
