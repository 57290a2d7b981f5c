/*
 * dead_letter.c
 *
 * Inserts into fast_ingest.dead_letters, and keeps the table within its bound.
 *
 * At the bound the oldest letters make room. To leave the event staged instead would
 * stop all ingestion: it cannot be stored, and those behind it wait.
 *
 * The table is not counted for every letter. Shared->dead_letters is what the last count
 * found, and what flushers have inserted since. Other sessions only delete letters, so
 * the number is not too small, unless a restore has brought letters since the last count.
 * The table is counted when the number reaches the bound. Then a hundredth more is
 * dropped than must be, so that the next letters need no count. Two flushers that count
 * at the same moment do not see each other's letter: until the next count the bound may
 * be exceeded by one less than there are flushers.
 */
#include "postgres.h"

#include "flush/dead_letter.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/spi.h"

#define REPORT_INTERVAL 60000 /* ms */

static uint64 unreported = 0; /* letters that this process has dropped and not logged yet */

/*
 * Drop the n oldest letters, except those that somebody retries or purges at the moment;
 * returns how many were dropped
 */
static uint64
drop_oldest(int64 n)
{
	Oid type = INT8OID;
	Datum value = Int64GetDatum(n);

	return SpiRunWith("DELETE FROM fast_ingest.dead_letters WHERE id IN ("
					  "SELECT id FROM fast_ingest.dead_letters ORDER BY id LIMIT $1"
					  " FOR UPDATE SKIP LOCKED)",
					  SPI_OK_DELETE, 1, &type, &value);
}

void
DeadLetterMakeRoom(DeadLetterRoom *room)
{
	uint64 bound = fi_max_dead_letters;
	SavedUser user;

	*room = (DeadLetterRoom){0};
	if (bound == 0 || pg_atomic_read_u64(&Shared->dead_letters) < bound)
		return;

	/* fast_ingest.role may insert letters, but need not be able to read or delete them */
	user = ActAsRollupOwner();
	(void) SpiRun("SELECT pg_catalog.count(*) FROM fast_ingest.dead_letters", SPI_OK_SELECT);
	room->letters = SpiInt64(1);
	room->counted = true;
	if (room->letters >= bound)
		room->dropped = drop_oldest(room->letters - bound + 1 + bound / 100);
	room->letters = room->letters - room->dropped + 1;
	ActAsCallerAgain(user);
}

bool
DeadLetterHasRoom(uint64 letters)
{
	uint64 there = pg_atomic_read_u64(&Shared->dead_letters);

	return fi_max_dead_letters == 0 ||
		   (there < (uint64) fi_max_dead_letters && letters < fi_max_dead_letters - there);
}

void
DeadLetterInsert(const ErrorData *error)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(unpack_sql_state(error->sqlerrcode)),
					  CStringGetTextDatum(error->message ? error->message : "")};
	int result;

	result = SPI_execute_with_args("INSERT INTO fast_ingest.dead_letters (sqlstate, message, event)"
								   " SELECT $1, $2, pg_catalog.to_jsonb(staged) FROM staged",
								   2, types, values, NULL, false, 0);
	if (result != SPI_OK_INSERT || SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not store a dead letter"),
						errdetail("Reason of the dead letter: %s", error->message)));
}

void
DeadLetterCommitted(Pair *pair, uint64 letters, const DeadLetterRoom *room)
{
	if (room->counted)
		pg_atomic_write_u64(&Shared->dead_letters, room->letters);
	else
		pg_atomic_fetch_add_u64(&Shared->dead_letters, letters);
	CounterAdd(&pair->dead_letters_dropped, room->dropped);
	unreported += room->dropped;
}

void
DeadLetterReportDropped(void)
{
	static int64 reported_at = 0;

	if (unreported == 0 ||
		(reported_at != 0 && MonotonicNow() < MonotonicAfter(reported_at, REPORT_INTERVAL)))
		return;
	ereport(LOG,
			(errmsg("fast_ingest dropped " UINT64_FORMAT " of the oldest dead letters", unreported),
			 errdetail("No more than fast_ingest.max_dead_letters = %d are kept.",
					   fi_max_dead_letters)));
	unreported = 0;
	reported_at = MonotonicNow();
}
