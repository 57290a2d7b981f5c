/*
 * key_limit.c
 *
 * Finds the times for which the rollup has counted names or keys together.
 */
#include "postgres.h"

#include "rollup/state/key_limit.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "db/spi.h"

/*
 * $1 is the beginning of the first day, $2 the end of the range, $3 the event_name. OFFSET 0
 * keeps the planner from turning a subquery, which looks up one bucket, into a join.
 */
#define UNCERTAIN_NAME \
	"SELECT o.day AS low, o.day + interval '24 hours' AS high FROM fast_ingest.event_names AS o" \
	" WHERE o.is_other AND o.day >= $1 AND o.day < $2" \
	" AND NOT EXISTS (SELECT FROM fast_ingest.event_names AS e" \
	"  WHERE e.day = o.day AND e.event_name = $3 AND NOT e.is_other OFFSET 0)"

/* $4 is the key, $5 the breakdown, $6 the level of its limit, $7 its unit, $8 its width. */
#define HAS_KEY(level) \
	"EXISTS (SELECT FROM fast_ingest.rollup AS r" \
	" WHERE r.breakdown = $5 AND r.level = " level " AND r.event_name = $3" \
	" AND r.bucket >= o.low AND r.bucket < o.low + $8" \
	" AND r.key = $4 AND NOT r.is_other AND NOT r.is_other_name OFFSET 0)"
#define UNCERTAIN_KEY \
	"SELECT o.low, o.low + $8 FROM (SELECT DISTINCT date_trunc($7, bucket, 'UTC') AS low" \
	"  FROM fast_ingest.rollup WHERE breakdown = $5 AND level <= $6 AND event_name = $3" \
	"  AND bucket >= $1 AND bucket < $2 AND is_other AND NOT is_other_name) AS o" \
	" WHERE NOT " HAS_KEY("$6") " AND NOT " HAS_KEY("1")

BucketLevel
KeyLimitLevel(const Breakdown *breakdown)
{
	return breakdown->finest == LEVEL_MINUTE ? LEVEL_HOUR : breakdown->finest;
}

static SPIPlanPtr
prepare_uncertain(bool with_key)
{
	static SPIPlanPtr plans[2];
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
				   INT2OID,		   INT2OID,		   TEXTOID, INTERVALOID};

	if (plans[with_key] == NULL)
		plans[with_key] =
			SpiPrepare(with_key ? UNCERTAIN_NAME " UNION ALL " UNCERTAIN_KEY " ORDER BY low"
								: UNCERTAIN_NAME " ORDER BY low",
					   with_key ? 8 : 3, types, CURSOR_OPT_GENERIC_PLAN);
	return plans[with_key];
}

TimeRangeList *
KeyLimitUncertain(const Breakdown *breakdown, const char *event_name, const char *key,
				  TimeRange range)
{
	BucketLevel level = KeyLimitLevel(breakdown);
	Interval width = {.time = BucketWidth(level)};
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));
	Datum values[8];

	values[0] = TimestampTzGetDatum(BucketStart(range.low, LEVEL_DAY));
	values[1] = TimestampTzGetDatum(range.high);
	values[2] = CStringGetTextDatum(event_name);
	values[3] = key ? CStringGetTextDatum(key) : (Datum) 0;
	values[4] = Int16GetDatum(breakdown->id);
	values[5] = Int16GetDatum((int16) level);
	values[6] = CStringGetTextDatum(level == LEVEL_HOUR ? "hour" : "day");
	values[7] = IntervalPGetDatum(&width);
	(void) SpiSelectPlan(prepare_uncertain(key != NULL), values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		TimeRangeListAdd(list, DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull)),
						 DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull)));
	}
	SPI_freetuptable(SPI_tuptable);
	return list;
}

bool
KeyLimitHasOthers(const Breakdown *breakdown, TimestampTz day)
{
	Oid types[] = {INT2OID, TIMESTAMPTZOID};
	Datum values[] = {Int16GetDatum(breakdown->id), TimestampTzGetDatum(day)};

	return SpiSelect("SELECT FROM fast_ingest.rollup"
					 " WHERE breakdown = $1 AND bucket = $2 AND is_other",
					 1, 2, types, values) > 0;
}

void
KeyLimitForgetNames(TimeRange days)
{
	(void) SpiRunWithTimes("DELETE FROM fast_ingest.event_names"
						   " WHERE day >= $1 AND day <= $2 - interval '24 hours'",
						   days.low, days.high);
}
