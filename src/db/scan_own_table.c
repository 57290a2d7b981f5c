/*
 * scan_own_table.c
 *
 * Sequential scans through the table access method.
 */
#include "postgres.h"

#include "db/scan_own_table.h"

#include "access/heapam.h"
#include "access/table.h"
#include "miscadmin.h"

#include "db/own_tables.h"

void
OwnTableScanBegin(OwnTableScan *rows, const char *name, LOCKMODE lock, Snapshot snapshot)
{
	rows->table = table_open(OwnTable(name), lock);
	rows->scan = table_beginscan(rows->table, snapshot, 0, NULL);
	rows->slot = table_slot_create(rows->table, NULL);
}

bool
OwnTableScanNext(OwnTableScan *rows)
{
	CHECK_FOR_INTERRUPTS();
	return table_scan_getnextslot(rows->scan, ForwardScanDirection, rows->slot);
}

void
OwnTableScanDelete(OwnTableScan *rows)
{
	simple_heap_delete(rows->table, &rows->slot->tts_tid);
}

void
OwnTableScanEnd(OwnTableScan *rows)
{
	ExecDropSingleTupleTableSlot(rows->slot);
	table_endscan(rows->scan);
	table_close(rows->table, NoLock);
}

void
OwnTableScanDeleteAll(const char *name, Snapshot snapshot)
{
	OwnTableScan rows;

	OwnTableScanBegin(&rows, name, RowExclusiveLock, snapshot);
	while (OwnTableScanNext(&rows))
		OwnTableScanDelete(&rows);
	OwnTableScanEnd(&rows);
}
