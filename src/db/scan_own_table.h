/*
 * scan_own_table.h
 *
 * Scans of our small tables, without SPI.
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
	TupleTableSlot *slot; /* the current row */
} OwnTableScan;

/*
 * Begin a scan of all rows that a snapshot shows of a table of schema fast_ingest. The lock
 * stays until the transaction ends. An ERROR if the table does not exist.
 */
extern void OwnTableScanBegin(OwnTableScan *rows, const char *name, LOCKMODE lock,
							  Snapshot snapshot);

/* Move to the next row; false behind the last one. */
extern bool OwnTableScanNext(OwnTableScan *rows);

/* Delete the current row. An ERROR if another transaction has changed it meanwhile. */
extern void OwnTableScanDelete(OwnTableScan *rows);

/* End a scan; its memory is freed. */
extern void OwnTableScanEnd(OwnTableScan *rows);

/* Delete all rows of a table that a snapshot shows. Errors as above. */
extern void OwnTableScanDeleteAll(const char *name, Snapshot snapshot);

#endif
