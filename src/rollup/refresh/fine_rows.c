/*
 * fine_rows.c
 *
 * Deletes rows of minutes and hours of days that are to keep rows of days only.
 *
 * In the hours of a day a key may have rows of its own in one, and be counted among others in
 * another one. The row of the day that was made from them has a part of the key's events then.
 * While there are hours, KeyLimitUncertain() finds it by them. Without them, a key with a row of
 * its own must have none among the others. So such keys lose theirs.
 */
#include "postgres.h"

#include "rollup/refresh/fine_rows.h"

#include "utils/timestamp.h"

#include "db/spi.h"
#include "rollup/refresh/all_names.h"
#include "rollup/refresh/merge.h"
#include "rollup/state/key_limit.h"

/*
 * Move keys that are not complete from $1 to before $2 to others. Takes the id of the breakdown,
 * three times, and the scope of a key's others.
 */
#define JOIN_OTHERS \
	"WITH others AS (" \
	" SELECT DISTINCT event_name, is_other_name, scope, date_trunc('hour', bucket, 'UTC') AS hour" \
	" FROM fast_ingest.rollup" \
	" WHERE breakdown = %d AND level < 3 AND bucket >= $1 AND bucket < $2 AND is_other" \
	"), partial AS (" \
	" SELECT DISTINCT d.ctid AS row FROM others AS o JOIN fast_ingest.rollup AS d" \
	"  ON d.breakdown = %d AND d.level = 3 AND d.event_name = o.event_name" \
	"  AND d.bucket = date_trunc('day', o.hour, 'UTC') AND d.is_other_name = o.is_other_name" \
	"  AND (o.scope = '' OR d.scope = o.scope) AND NOT d.is_other" \
	" WHERE NOT EXISTS (SELECT FROM fast_ingest.rollup AS h" \
	"  WHERE h.breakdown = %d AND h.level IN (1, 2) AND h.event_name = d.event_name" \
	"   AND h.bucket >= o.hour AND h.bucket < o.hour + interval '1 hour'" \
	"   AND h.scope = d.scope AND h.key = d.key AND NOT h.is_other" \
	"   AND h.is_other_name = d.is_other_name OFFSET 0)" \
	"), gone AS (" \
	" DELETE FROM fast_ingest.rollup AS r USING partial AS p WHERE r.ctid = p.row RETURNING r.*)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, is_part)" \
	" SELECT breakdown, level, event_name, bucket, %s, '', true, is_other_name, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users), true" \
	" FROM gone GROUP BY breakdown, level, event_name, bucket, %s, is_other_name"

#define DELETE_FINE_ROWS \
	"DELETE FROM fast_ingest.rollup" \
	" WHERE breakdown = %d AND level IN (1, 2) AND bucket >= $1 AND bucket < $2"

/* Make rows of level %d, whose buckets are a %s, of the rows that a statement selects. */
#define SUM_ROWS \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users)" \
	" SELECT breakdown, %d, event_name, date_trunc('%s', bucket, 'UTC'), scope, key, is_other," \
	"  is_other_name, sum(events), fast_ingest.cardinality(fast_ingest.union_users(users))," \
	"  fast_ingest.union_users(users)" \
	" FROM rows GROUP BY breakdown, event_name, date_trunc('%s', bucket, 'UTC'), scope, key," \
	"  is_other, is_other_name"

void
FineRowsToDays(const Breakdown *breakdown, TimeRange days)
{
	(void) SpiRunWithTimes(psprintf("WITH rows AS (SELECT * FROM fast_ingest.rollup"
									" WHERE breakdown = %d AND level IN (1, 2)"
									"  AND bucket >= $1 AND bucket < $2) " SUM_ROWS,
									breakdown->id, LEVEL_DAY, "day", "day"),
						   days.low, days.high);
}

void
FineRowsToHours(const Breakdown *breakdown)
{
	SpiRunFormat(SPI_ANY_RESULT,
				 "WITH rows AS (DELETE FROM fast_ingest.rollup"
				 " WHERE breakdown = %d AND level = 1 RETURNING *) " SUM_ROWS,
				 breakdown->id, LEVEL_HOUR, "hour", "hour");
	SpiRunFormat(SPI_OK_UPDATE,
				 "UPDATE fast_ingest.rollup SET minutes = NULL"
				 " WHERE breakdown = %d AND level = 2 AND minutes IS NOT NULL",
				 breakdown->id);
}

void
FineRowsForget(const Breakdown *breakdown, TimestampTz from)
{
	(void) SpiRunWithTimes(psprintf("DELETE FROM fast_ingest.rollup"
									" WHERE breakdown IN (%d, ~%d)"
									"  AND bucket >= $1 AND bucket < $2",
									breakdown->id, breakdown->id),
						   from, TIME_END);
}

void
FineRowsDrop(const Breakdown *breakdown, TimeRange days)
{
	int id = breakdown->id;
	/* keys of all scopes have their limit together where a scope has but one */
	const char *scope = KeyLimitOfAll(breakdown) == breakdown->max_keys ? "''::text" : "scope";

	if (breakdown->finest == LEVEL_DAY || days.low >= days.high)
		return;
	if (SpiRunWithTimes(psprintf(JOIN_OTHERS, id, id, id, scope, scope), days.low, days.high) > 0)
		AllNamesCountAgain(id, days);
	(void) SpiRunWithTimes(psprintf(DELETE_FINE_ROWS, id), days.low, days.high);
}
