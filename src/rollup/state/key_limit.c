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
#include "rollup/breakdown/breakdown_buckets.h"

/* Parameters of the statements. */
enum
{
	PARAMETER_LOW,	/* $1: the beginning of the first day */
	PARAMETER_HIGH, /* $2: the end of the range */
	PARAMETER_EVENT_NAME,
	PARAMETER_SCOPE,
	PARAMETER_KEY,
	PARAMETER_BREAKDOWN, /* $6 */
	PARAMETER_LEVEL,	 /* $7: of the limit, */
	PARAMETER_FINEST,	 /* $8: and the finest with rows in such a bucket */
	PARAMETER_UNIT,		 /* $9: the bucket in the words of date_trunc, */
	PARAMETER_WIDTH,	 /* $10: and its width */
	NUM_PARAMETERS
};

/* OFFSET 0 keeps the planner from turning a subquery, which looks up one bucket, into a join. */
#define UNCERTAIN_NAME \
	"SELECT o.day AS low, o.day + interval '24 hours' AS high FROM fast_ingest.event_names AS o" \
	" WHERE o.is_other AND o.day >= $1 AND o.day < $2" \
	" AND NOT EXISTS (SELECT FROM fast_ingest.event_names AS e" \
	"  WHERE e.day = o.day AND e.event_name = $3 AND NOT e.is_other OFFSET 0)"

#define OTHER_KEYS(of_scopes, of_name) \
	"SELECT o.low, o.low + $10 AS high" \
	" FROM (SELECT DISTINCT date_trunc($9, bucket, 'UTC') AS low, event_name, is_other_name" \
	"  FROM fast_ingest.rollup WHERE breakdown = $6 AND level BETWEEN $8 AND $7" \
	"  AND bucket >= $1 AND bucket < $2 AND is_other" of_scopes of_name ") AS o"
#define OF_NAME " AND event_name = $3 AND NOT is_other_name"
#define OF_SCOPE " AND scope IN ('', $4)"
#define OF_ALL_SCOPES " AND scope = ''"

#define HAS_KEY(level) \
	"EXISTS (SELECT FROM fast_ingest.rollup AS r" \
	" WHERE r.breakdown = $6 AND r.level = " level " AND r.event_name = o.event_name" \
	" AND r.bucket >= o.low AND r.bucket < o.low + $10" \
	" AND r.scope = $4 AND r.key = $5 AND NOT r.is_other" \
	" AND r.is_other_name = o.is_other_name OFFSET 0)"
#define WITHOUT_KEY " WHERE NOT " HAS_KEY("$7") " AND NOT " HAS_KEY("$8")

/* What a question asks for. */
typedef enum
{
	ASK_ALL_KEYS,
	ASK_ALL_OF_SCOPE,
	ASK_KEY_OF_SCOPE,
	ASK_KEY_OF_ANY_SCOPE, /* a key that each scope may have */
	NUM_ASKED
} AskedKeys;

BucketLevel
KeyLimitLevel(const Breakdown *breakdown, TimestampTz ts)
{
	return Max(BreakdownFinest(breakdown, ts), LEVEL_HOUR);
}

static bool
is_scope_the_key(const Breakdown *breakdown)
{
	return breakdown->scope_sql != NULL && strcmp(breakdown->scope_sql, breakdown->key_sql) == 0;
}

int64
KeyLimitOfAll(const Breakdown *breakdown)
{
	return breakdown->scope_sql == NULL || is_scope_the_key(breakdown)
			   ? breakdown->max_keys
			   : (int64) KEY_LIMIT_SCOPES * breakdown->max_keys;
}

/*
 * Prepare the statement that finds the times at which a name, or what is asked for of it or of
 * all names, is uncertain
 */
static SPIPlanPtr
prepare_uncertain(AskedKeys asked, bool of_name)
{
	/* by AskedKeys, and by whether there is a name */
	static const char *const statements[][2] = {
		{NULL, UNCERTAIN_NAME},
		{OTHER_KEYS(OF_ALL_SCOPES, ""),
		 UNCERTAIN_NAME " UNION ALL " OTHER_KEYS(OF_ALL_SCOPES, OF_NAME)},
		{OTHER_KEYS(OF_SCOPE, "") WITHOUT_KEY,
		 UNCERTAIN_NAME " UNION ALL " OTHER_KEYS(OF_SCOPE, OF_NAME) WITHOUT_KEY},
		{OTHER_KEYS("", ""), UNCERTAIN_NAME " UNION ALL " OTHER_KEYS("", OF_NAME)}};
	static SPIPlanPtr plans[NUM_ASKED][2];
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID,
				   INT2OID,		   INT2OID,		   INT2OID, TEXTOID, INTERVALOID};

	if (plans[asked][of_name] == NULL)
		plans[asked][of_name] = SpiPrepare(psprintf("%s ORDER BY low", statements[asked][of_name]),
										   NUM_PARAMETERS, types, CURSOR_OPT_GENERIC_PLAN);
	return plans[asked][of_name];
}

/*
 * Add the uncertain times of a range in which keys are limited at the same level
 */
static void
add_uncertain(TimeRangeList *list, SPIPlanPtr plan, Datum *values, TimeRange range,
			  BucketLevel level)
{
	Interval width = {.time = BucketWidth(level)};

	if (range.low >= range.high)
		return;
	values[PARAMETER_LOW] = TimestampTzGetDatum(range.low);
	values[PARAMETER_HIGH] = TimestampTzGetDatum(range.high);
	values[PARAMETER_LEVEL] = Int16GetDatum((int16) level);
	values[PARAMETER_FINEST] = Int16GetDatum(level == LEVEL_HOUR ? LEVEL_MINUTE : LEVEL_DAY);
	values[PARAMETER_UNIT] = CStringGetTextDatum(level == LEVEL_HOUR ? "hour" : "day");
	values[PARAMETER_WIDTH] = IntervalPGetDatum(&width);
	(void) SpiSelectPlan(plan, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		TimeRangeListAdd(list, DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull)),
						 DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull)));
	}
	SPI_freetuptable(SPI_tuptable);
}

TimeRangeList *
KeyLimitUncertain(const Breakdown *breakdown, const char *event_name, const char *scope,
				  const char *key, TimeRange range)
{
	TimeRangeList *list = palloc0(sizeof(TimeRangeList));
	TimestampTz low = BucketStart(range.low, LEVEL_DAY);
	AskedKeys asked = ASK_ALL_KEYS;
	Datum values[NUM_PARAMETERS];
	SPIPlanPtr plan;

	if (is_scope_the_key(breakdown))
		scope = key = key != NULL ? key : scope;
	else if (breakdown->scope_sql == NULL)
		scope = "";
	if (key != NULL)
		asked = scope != NULL ? ASK_KEY_OF_SCOPE : ASK_KEY_OF_ANY_SCOPE;
	else if (breakdown->scope_sql != NULL && scope != NULL)
		asked = ASK_ALL_OF_SCOPE;
	if (asked == ASK_ALL_KEYS && event_name == NULL)
		return list;

	plan = prepare_uncertain(asked, event_name != NULL);
	values[PARAMETER_EVENT_NAME] = CStringGetTextDatum(event_name ? event_name : "");
	values[PARAMETER_SCOPE] = CStringGetTextDatum(scope ? scope : "");
	values[PARAMETER_KEY] = CStringGetTextDatum(key ? key : "");
	values[PARAMETER_BREAKDOWN] = Int16GetDatum(breakdown->id);
	add_uncertain(list, plan, values, (TimeRange){low, Min(range.high, breakdown->fine_from)},
				  LEVEL_DAY);
	add_uncertain(list, plan, values, (TimeRange){Max(low, breakdown->fine_from), range.high},
				  Max(breakdown->finest, LEVEL_HOUR));
	return list;
}

void
KeyLimitForgetNames(TimeRange days)
{
	(void) SpiRunWithTimes("DELETE FROM fast_ingest.event_names"
						   " WHERE day >= $1 AND day <= $2 - interval '24 hours'",
						   days.low, days.high);
}
