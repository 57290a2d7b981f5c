/*
 * lost_rows.h
 *
 * Times whose raw rows have gone while the rollup keeps what it counted: rows of
 * fast_ingest.dropped, written in the transaction that drops or detaches a
 * partition. Nothing there can be counted again, whatever partition may take
 * later events of these times.
 */
#ifndef FAST_INGEST_LOST_ROWS_H
#define FAST_INGEST_LOST_ROWS_H

#include "rollup/state/recount.h"

/* Install the hooks that see partitions go; called by _PG_init. */
extern void LostRowsHooksInit(void);

/* The times that a snapshot shows, in order and joined, in the current memory context. */
extern TimeRangeList *LostRowsRanges(Snapshot snapshot);

#endif
