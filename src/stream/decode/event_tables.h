/*
 * event_tables.h
 *
 * Which tables are fast_ingest.events or partitions of it, as of the transaction that is
 * decoded.
 */
#ifndef FAST_INGEST_EVENT_TABLES_H
#define FAST_INGEST_EVENT_TABLES_H

#include "postgres.h"

#include "utils/rel.h"

#include "stream/event_row.h"

/* To be called once before the first look. */
extern void EventTablesInit(void);

/*
 * How to read the rows of a table; NULL if they are not events. Valid until catalogs are read
 * again. Called in decoding callbacks. An ERROR if columns of events are missing.
 */
extern const EventRowMap *EventTableMap(Relation table);

#endif
