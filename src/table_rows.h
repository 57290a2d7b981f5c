/*
 * table_rows.h
 *
 * All rows of one of our tables that a snapshot shows, one after the other.
 */
#ifndef FAST_INGEST_TABLE_ROWS_H
#define FAST_INGEST_TABLE_ROWS_H

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/lockdefs.h"

typedef struct
{
	Relation table;
	TableScanDesc scan;
	TupleTableSlot *slot; /* the row at hand */
} TableRows;

/* Begin with a table of schema fast_ingest; the lock stays to the end of the transaction. */
extern void TableRowsBegin(TableRows *rows, const char *name, LOCKMODE lock, Snapshot snapshot);

/* Go to the next row; false behind the last. */
extern bool TableRowsNext(TableRows *rows);

/* Delete the row at hand. */
extern void TableRowsDelete(TableRows *rows);

extern void TableRowsEnd(TableRows *rows);

/* Delete all rows that a snapshot shows. */
extern void TableRowsDeleteAll(const char *name, Snapshot snapshot);

#endif
