/*
 * read_rollup.h
 *
 * Reading rows of the rollup and deltas for an answer, in the active snapshot.
 */
#ifndef FAST_INGEST_READ_ROLLUP_H
#define FAST_INGEST_READ_ROLLUP_H

#include "base/text_slice.h"
#include "rollup/delta/delta_format.h"
#include "rollup/metrics/cover_range.h"

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
extern int64 RollupRows(int breakdown, RollupLevel level, const char *event_name, const char *key,
						TimeRange span, RollupRowVisitor visitor, void *arg);

/*
 * Show a visitor the rows of days of all event_names with a scope. Returns how
 * many. Needs SPI.
 */
extern int64 RollupScopeRows(int breakdown, const char *scope, TimestampTz day,
							 RollupRowVisitor visitor, void *arg);

/* From where to where the rollup has rows of an event_name; an empty span if nowhere. Needs SPI. */
extern TimeRange RollupExtent(const char *event_name);

/* A group of a delta; pointers are valid while it is visited. */
typedef struct
{
	TimestampTz bucket;
	const char *scope;
	const char *key;
	int scope_len;
	int key_len;
	int events;
	int nusers;
	const UserHash *hashes;
	const uint16 *users; /* which of the hashes */
} DeltaRow;

typedef void (*DeltaRowVisitor)(const DeltaRow *row, void *arg);

/*
 * Show a visitor the groups of a breakdown, and of one event_name or of any
 * (NULL), whose buckets begin in a span.
 */
extern void DeltaRows(Snapshot snapshot, int breakdown, const char *event_name, TimeRange span,
					  DeltaRowVisitor visitor, void *arg);

/*
 * Append the UTC days of which the rollup may have counted events within a span, or
 * soon will, as far as they are in it. Exact where the span is one of whole hours.
 * Needs SPI.
 */
extern void RollupDays(TimeRange span, TimeRangeList *days);

/* How far the rollup is for a snapshot: nothing is closed before the first refresh. */
extern RollupState RollupStateRead(Snapshot snapshot);

#endif
