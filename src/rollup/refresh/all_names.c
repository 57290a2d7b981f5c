/*
 * all_names.c
 *
 * Rows of days of all event_names.
 *
 * A key may have rows of its own for one name, and be counted among others for another one. Its
 * row of all names has what its rows have, and that of others has what their rows have: questions
 * get from them what they would get from the rows of each name.
 */
#include "postgres.h"

#include "rollup/refresh/all_names.h"

#include "utils/builtins.h"

#include "db/spi.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/refresh/merge.h"

/* Takes the id of the breakdown, and one more condition. */
#define COUNT_ALL_NAMES \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users)" \
	" SELECT ~breakdown, 3, '', bucket, scope, key, is_other, false, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users)" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = %d AND level = 3 AND bucket >= $1 AND bucket < $2%s" \
	" GROUP BY breakdown, bucket, scope, key, is_other"

#define FORGET_ALL_NAMES \
	"DELETE FROM fast_ingest.rollup" \
	" WHERE breakdown = %d AND level = 3 AND bucket >= $1 AND bucket < $2"

void
AllNamesCount(int breakdown, TimeRange days)
{
	(void) SpiRunWithTimes(psprintf(COUNT_ALL_NAMES, breakdown, ""), days.low, days.high);
}

void
AllNamesForget(int breakdown, TimeRange days)
{
	(void) SpiRunWithTimes(psprintf(FORGET_ALL_NAMES, BREAKDOWN_OF_ALL_NAMES(breakdown)), days.low,
						   days.high);
}

void
AllNamesCountAgain(int breakdown, TimeRange days)
{
	char *gone = psprintf("WITH gone AS (" FORGET_ALL_NAMES " RETURNING bucket) ",
						  BREAKDOWN_OF_ALL_NAMES(breakdown));
	char *count = psprintf(COUNT_ALL_NAMES, breakdown, " AND bucket IN (SELECT bucket FROM gone)");

	(void) SpiRunWithTimes(psprintf("%s%s", gone, count), days.low, days.high);
}
