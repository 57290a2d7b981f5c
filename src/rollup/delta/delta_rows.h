/*
 * delta_rows.h
 *
 * The groups of all deltas that a snapshot shows, for questions. Deltas that were read once stay in
 * memory (see delta_cache.h).
 */
#ifndef FAST_INGEST_DELTA_ROWS_H
#define FAST_INGEST_DELTA_ROWS_H

#include "utils/snapshot.h"

#include "base/text_slice.h"
#include "base/time_ranges.h"
#include "rollup/delta/delta_format.h"
#include "rollup/users/user_numbers.h"

/* A group of a delta; pointers are valid while it is visited. */
typedef struct
{
	TimestampTz bucket;
	const char *event_name;
	const char *scope;
	const char *key;
	int event_name_len;
	int scope_len;
	int key_len;
	int events;
	int nusers;
	const UserHash *hashes; /* of the whole delta */
	uint32 *numbers;		/* NULL, or of the user with the same index in hashes; see DeltaRows */
	const uint16 *users;	/* which of the hashes; a user may come several times */
	const uint32 *offsets;	/* of the events in their minute, microseconds, first of those that
							 * have users; NULL: none are kept */
} DeltaRow;

/* Which groups are visited; a text that is NULL is any. */
typedef struct
{
	int breakdown;
	const char *event_name;
	const char *scope;
	const char *key;
	TimeRange range; /* in which their buckets begin */
} DeltaSelection;

typedef void (*DeltaRowVisitor)(const DeltaRow *row, void *arg);

/*
 * Call a visitor for groups of all deltas that a snapshot shows. Errors as DeltaRead.
 *
 * If the caller says what numbers the snapshot shows, the visitor finds the numbers that users
 * of the deltas are known to have: UserNumbersLookup would find the same, unless it is
 * USER_UNKNOWN. The caller may set that to what it finds in the same snapshot, until anything
 * else reads deltas.
 */
extern void DeltaRows(Snapshot snapshot, const UserNumbersState *state,
					  const DeltaSelection *selection, DeltaRowVisitor visitor, void *arg);

#endif
