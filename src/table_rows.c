/*
 * table_rows.c
 *
 * Scans of our small tables.
 */
#include "postgres.h"

#include "table_rows.h"

#include "access/heapam.h"
#include "access/table.h"
#include "miscadmin.h"

#include "catalog.h"

void
TableRowsBegin(TableRows *rows, const char *name, LOCKMODE lock, Snapshot snapshot)
{
	rows->table = table_open(ExtensionTable(name), lock);
	rows->scan = table_beginscan(rows->table, snapshot, 0, NULL);
	rows->slot = table_slot_create(rows->table, NULL);
}

bool
TableRowsNext(TableRows *rows)
{
	CHECK_FOR_INTERRUPTS();
	return table_scan_getnextslot(rows->scan, ForwardScanDirection, rows->slot);
}

void
TableRowsDelete(TableRows *rows)
{
	simple_heap_delete(rows->table, &rows->slot->tts_tid);
}

void
TableRowsEnd(TableRows *rows)
{
	ExecDropSingleTupleTableSlot(rows->slot);
	table_endscan(rows->scan);
	table_close(rows->table, NoLock);
}

void
TableRowsDeleteAll(const char *name, Snapshot snapshot)
{
	TableRows rows;

	TableRowsBegin(&rows, name, RowExclusiveLock, snapshot);
	while (TableRowsNext(&rows))
		TableRowsDelete(&rows);
	TableRowsEnd(&rows);
}
