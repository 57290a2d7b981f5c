/*
 * scan_own_table.h
 *
 * All rows of one of our tables that a snapshot shows, one after the other.
 */
#ifndef FAST_INGEST_SCAN_OWN_TABLE_H
#define FAST_INGEST_SCAN_OWN_TABLE_H

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/lockdefs.h"

typedef struct
{
	Relation table;
	TableScanDesc scan;
	TupleTableSlot *slot; /* the row at hand */
} OwnTableScan;

/* Begin with a table of schema fast_ingest; the lock stays to the end of the transaction. */
extern void OwnTableScanBegin(OwnTableScan *rows, const char *name, LOCKMODE lock,
							  Snapshot snapshot);

/* Go to the next row; false behind the last. */
extern bool OwnTableScanNext(OwnTableScan *rows);

/* Delete the row at hand. */
extern void OwnTableScanDelete(OwnTableScan *rows);

extern void OwnTableScanEnd(OwnTableScan *rows);

/* Delete all rows that a snapshot shows. */
extern void OwnTableScanDeleteAll(const char *name, Snapshot snapshot);

#endif
