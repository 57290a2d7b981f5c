/*
 * event_row.h
 *
 * From a row of fast_ingest.events, or of a partition of it, to a StreamEvent.
 */
#ifndef FAST_INGEST_EVENT_ROW_H
#define FAST_INGEST_EVENT_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "stream/stream.h"

/* Where the columns stand in a table: attribute numbers. */
typedef struct
{
	AttrNumber columns[NUM_STREAM_COLUMNS];
} EventRowMap;

/* Find the columns by name. False if one is missing or has another type. No catalogs are read. */
extern bool EventRowMapMake(EventRowMap *map, TupleDesc desc);

/*
 * Read a row. Texts point into the row or into the current memory context; position (lsn, n)
 * is left to the caller. No catalogs are read, so it works under a historic snapshot.
 */
extern void EventRowRead(const EventRowMap *map, TupleDesc desc, HeapTuple row, StreamEvent *event);

#endif
