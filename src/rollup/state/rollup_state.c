/*
 * rollup_state.c
 *
 * Reads and writes the state of the rollup.
 */
#include "postgres.h"

#include "rollup/state/rollup_state.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/time_ranges.h"
#include "db/scan_own_table.h"
#include "db/spi.h"

/* Columns of fast_ingest.rollup_state. */
enum
{
	STATE_COLUMN_HOURS_CLOSED = 1,
	STATE_COLUMN_DAYS_CLOSED,
	STATE_COLUMN_USERS,
	STATE_COLUMN_ERASED
};

bool
RollupStateRead(Snapshot snapshot, RollupState *state)
{
	OwnTableScan rows;
	bool found;

	*state = (RollupState){TIME_BEGIN, TIME_BEGIN, 0, 0};
	OwnTableScanBegin(&rows, "rollup_state", AccessShareLock, snapshot);
	found = OwnTableScanNext(&rows);
	if (found)
	{
		bool isnull;

		state->hours_closed =
			DatumGetTimestampTz(slot_getattr(rows.slot, STATE_COLUMN_HOURS_CLOSED, &isnull));
		state->days_closed =
			DatumGetTimestampTz(slot_getattr(rows.slot, STATE_COLUMN_DAYS_CLOSED, &isnull));
		state->users = DatumGetInt64(slot_getattr(rows.slot, STATE_COLUMN_USERS, &isnull));
		state->erased = DatumGetInt64(slot_getattr(rows.slot, STATE_COLUMN_ERASED, &isnull));
	}
	OwnTableScanEnd(&rows);
	return found;
}

void
RollupStateWrite(const RollupState *state, bool has_row)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};
	Datum values[] = {TimestampTzGetDatum(state->hours_closed),
					  TimestampTzGetDatum(state->days_closed), Int64GetDatum(state->users)};

	(void) SpiRunWith(
		has_row
			? "UPDATE fast_ingest.rollup_state SET hours_closed = $1, days_closed = $2, users = $3"
			: "INSERT INTO fast_ingest.rollup_state (hours_closed, days_closed, users)"
			  " VALUES ($1, $2, $3)",
		has_row ? SPI_OK_UPDATE : SPI_OK_INSERT, 3, types, values);
}
