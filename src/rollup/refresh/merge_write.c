/*
 * merge_write.c
 *
 * Merges groups into the rollup, by SQL statements over the gathered groups. They see the groups
 * as the relation "merged", as statements in batch.c see staged events. They delete the rows to
 * which a group adds, and insert them again together with the group.
 */
#include "postgres.h"

#include "rollup/refresh/merge_private.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "db/own_tables.h"
#include "db/spi.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/sets/time_list.h"
#include "rollup/users/user_numbers.h"

/* Columns of "merged". */
enum
{
	MERGED_BREAKDOWN,
	MERGED_FINEST,
	MERGED_EVENT_NAME,
	MERGED_SCOPE,
	MERGED_KEY,
	MERGED_BUCKET,
	MERGED_EVENTS,
	MERGED_USERS,
	MERGED_TIMES,
	MERGED_IS_OTHER,
	MERGED_IS_OTHER_NAME,
	MERGED_SPOT,
	NUM_MERGED_COLUMNS
};

/*
 * What groups of merged rows are sorted by. The spot is a number of scope and key: it is compared
 * faster than columns behind texts, and leaves few equal rows to them.
 */
#define SORT_COLUMNS "spot, " KEY_COLUMNS

/* In all statements below, $1 is RollupState.hours_closed and $2 RollupState.days_closed. */

/*
 * Merge new rows, of which there is one for each key, into rows without minutes.
 *
 * A large set is not written again in every refresh, nor are many times: a key may have several
 * rows in a bucket, its parts. A new row takes up parts, smallest first, as long as a part is not
 * larger than twice what the new row has by then. A part that stays is more than twice as large as
 * all smaller ones together. So a key has few parts, and a user is written again only a few times.
 */
#define TAKE_UP \
	", parts AS (" \
	" SELECT n.spot, r.ctid AS part, CASE WHEN r.minutes IS NULL THEN r.unique_users ELSE r.events END" \
	"  AS size, n.breakdown, n.level, n.event_name," \
	"  n.bucket, n.scope, n.key, n.is_other, n.is_other_name," \
	"  CASE WHEN n.times IS NULL THEN fast_ingest.cardinality(n.users) ELSE n.events END" \
	"  AS new_size" \
	" FROM new AS n JOIN fast_ingest.rollup AS r" \
	"  ON r.breakdown = n.breakdown AND r.level = n.level AND r.event_name = n.event_name" \
	"  AND r.bucket = n.bucket AND r.scope = n.scope AND r.key = n.key" \
	"  AND r.is_other = n.is_other AND r.is_other_name = n.is_other_name" \
	"), sized AS (" \
	" SELECT *, new_size + coalesce(sum(size) OVER (PARTITION BY " SORT_COLUMNS \
	"  ORDER BY size, part ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before" \
	" FROM parts" \
	"), judged AS (" \
	" SELECT *, bool_and(size <= 2 * before) OVER (PARTITION BY " SORT_COLUMNS \
	"  ORDER BY size, part) AS taken FROM sized" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r USING judged AS j WHERE r.ctid = j.part AND j.taken" \
	" RETURNING j.spot, r.breakdown, r.level, r.event_name, r.bucket, r.scope, r.key," \
	"  r.is_other, r.is_other_name, r.events, r.users, r.minutes)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, minutes, is_part)" \
	" SELECT " KEY_COLUMNS \
	", sum(events), fast_ingest.cardinality(fast_ingest.union_users(users))," \
	"  fast_ingest.union_users(users), fast_ingest.union_times(times), bool_or(is_part)" \
	" FROM (SELECT *, false AS is_part FROM new UNION ALL SELECT *, false FROM old" \
	"  UNION ALL SELECT " SORT_COLUMNS ", 0, NULL, NULL, true FROM judged WHERE NOT taken" \
	" ) AS all_of_them" \
	" GROUP BY " SORT_COLUMNS

/* Merge into rows of the finest level, except minutes of closed hours. */
#define MERGE_FINEST \
	"WITH new AS (" \
	" SELECT spot, breakdown, finest AS level, event_name, bucket, scope, key, is_other," \
	"  is_other_name, events, users, times" \
	" FROM merged WHERE finest > 1 OR bucket >= $1)" TAKE_UP

/*
 * Merge into rows of closed days, of each event_name and of all, and into their totals. Groups are
 * put together before they are counted in several rows.
 */
#define MERGE_DAYS \
	"WITH days AS (" \
	" SELECT spot, breakdown, event_name, date_trunc('day', bucket, 'UTC') AS bucket, scope, key," \
	"  is_other, is_other_name, sum(events)::bigint AS events," \
	"  fast_ingest.union_users(users) AS users" \
	" FROM merged WHERE finest < 3 AND bucket < $2" \
	" GROUP BY spot, breakdown, event_name, date_trunc('day', bucket, 'UTC'), scope, key," \
	"  is_other, is_other_name" \
	"), named AS (" \
	" SELECT * FROM days" \
	" UNION ALL" \
	" SELECT -1, 0::smallint, event_name, bucket, '', '', false, is_other_name," \
	"  sum(events)::bigint, fast_ingest.union_users(users)" \
	" FROM days WHERE breakdown = 1 GROUP BY event_name, bucket, is_other_name" \
	"), new AS (" \
	" SELECT spot, breakdown, 3::smallint AS level, event_name, bucket, scope, key, is_other," \
	"  is_other_name, events, users, NULL::bytea AS times" \
	" FROM named" \
	" UNION ALL" \
	" SELECT spot, ~breakdown, 3::smallint, '', bucket, scope, key, is_other, false," \
	"  sum(events)::bigint, fast_ingest.union_users(users), NULL" \
	" FROM (SELECT spot, breakdown, bucket, scope, key, is_other, events, users FROM named" \
	"  UNION ALL" \
	"  SELECT spot, breakdown, bucket, scope, key, is_other, events, users" \
	"  FROM merged WHERE finest = 3 AND bucket < $2) AS all_names" \
	" GROUP BY spot, breakdown, bucket, scope, key, is_other)" TAKE_UP

/* Merge into rows of closed hours, which hold their minutes. */
#define MERGE_HOURS \
	"WITH new AS (" \
	" SELECT breakdown, event_name, date_trunc('hour', bucket, 'UTC') AS hour, scope, key," \
	"  is_other, is_other_name, bucket, events, users, times" \
	" FROM merged WHERE finest = 1 AND bucket < $1" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r" \
	" USING (SELECT DISTINCT breakdown, event_name, hour, scope, key, is_other, is_other_name" \
	"  FROM new) AS n" \
	" WHERE r.breakdown = n.breakdown AND r.level = 2 AND r.event_name = n.event_name" \
	"  AND r.bucket = n.hour AND r.scope = n.scope AND r.key = n.key" \
	"  AND r.is_other = n.is_other AND r.is_other_name = n.is_other_name" \
	" RETURNING r.breakdown, r.event_name, r.bucket AS hour, r.scope, r.key, r.is_other," \
	"  r.is_other_name, r.users, r.minutes)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, minutes)" \
	" SELECT breakdown, 2, event_name, hour, scope, key, is_other, is_other_name, sum(events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(users)), fast_ingest.union_users(users)," \
	"  fast_ingest.pack_minutes(minute, events, users, times)" \
	" FROM (SELECT breakdown, event_name, hour, scope, key, is_other, is_other_name," \
	"   (extract(epoch FROM bucket - hour) / 60)::integer AS minute, events, users, times FROM new" \
	"  UNION ALL" \
	"  SELECT o.breakdown, o.event_name, o.hour, o.scope, o.key, o.is_other, o.is_other_name," \
	"   m.minute, m.events, m.users, m.times" \
	"  FROM old AS o, fast_ingest.unpack_minutes(o.users, o.minutes) AS m) AS both_of_them" \
	" GROUP BY breakdown, event_name, hour, scope, key, is_other, is_other_name"

/*
 * Compute the totals of closed hours again, from their channels: of each event_name, and of all.
 * OFFSET 0 keeps the planner from comparing each touched hour with all rows of the level, which
 * looks cheap as long as the statistics of the table know of few.
 */
#define MERGE_HOUR_TOTALS \
	"WITH touched AS (" \
	" SELECT DISTINCT event_name, is_other_name, date_trunc('hour', bucket, 'UTC') AS hour" \
	" FROM merged WHERE breakdown = 1 AND bucket < $1" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r" \
	" USING (SELECT o.part FROM touched AS t JOIN LATERAL (SELECT o.ctid AS part" \
	"   FROM fast_ingest.rollup AS o WHERE o.breakdown = 0 AND o.level = 2" \
	"    AND o.event_name = t.event_name AND o.bucket = t.hour" \
	"    AND o.is_other_name = t.is_other_name OFFSET 0) AS o ON true) AS found" \
	" WHERE r.ctid = found.part)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users)" \
	" SELECT 0, 2, r.event_name, r.bucket, '', '', false, r.is_other_name, sum(r.events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(r.users))" \
	" FROM touched AS t JOIN LATERAL (" \
	"  SELECT c.event_name, c.bucket, c.is_other_name, c.events, c.users" \
	"  FROM fast_ingest.rollup AS c WHERE c.breakdown = 1 AND c.level = 2" \
	"   AND c.event_name = t.event_name AND c.bucket = t.hour" \
	"   AND c.is_other_name = t.is_other_name OFFSET 0) AS r ON true" \
	" GROUP BY r.event_name, r.bucket, r.is_other_name"

/* The index finds an hour's rows by event_name, and event_names has those of its day. */
#define MERGE_HOURS_OF_ALL_NAMES \
	"WITH touched AS (" \
	" SELECT DISTINCT date_trunc('hour', bucket, 'UTC') AS hour" \
	" FROM merged WHERE breakdown = 1 AND bucket < $1" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r USING touched AS t" \
	" WHERE r.breakdown = -1 AND r.level = 2 AND r.event_name = '' AND r.bucket = t.hour)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users)" \
	" SELECT -1, 2, '', r.bucket, '', '', false, false, sum(r.events)," \
	"  fast_ingest.cardinality(fast_ingest.union_users(r.users))" \
	" FROM touched AS t" \
	"  JOIN LATERAL (SELECT DISTINCT e.event_name FROM fast_ingest.event_names AS e" \
	"   WHERE e.day = date_trunc('day', t.hour, 'UTC')) AS n ON true" \
	"  JOIN LATERAL (SELECT c.bucket, c.events, c.users FROM fast_ingest.rollup AS c" \
	"   WHERE c.breakdown = 1 AND c.level = 2 AND c.event_name = n.event_name" \
	"    AND c.bucket = t.hour OFFSET 0) AS r ON true" \
	" GROUP BY r.bucket"

static TupleDesc
make_merged_desc(void)
{
	static const struct
	{
		const char *name;
		Oid type;
	} columns[] = {{"breakdown", INT2OID}, {"finest", INT2OID},		   {"event_name", TEXTOID},
				   {"scope", TEXTOID},	   {"key", TEXTOID},		   {"bucket", TIMESTAMPTZOID},
				   {"events", INT8OID},	   {"users", InvalidOid},	   {"times", BYTEAOID},
				   {"is_other", BOOLOID},  {"is_other_name", BOOLOID}, {"spot", INT8OID}};
	TupleDesc desc = CreateTemplateTupleDesc(NUM_MERGED_COLUMNS);
	Oid rollup = OwnTable("rollup");
	/* fi_user_set, in whatever schema it is */
	Oid set_type = get_atttype(rollup, get_attnum(rollup, "users"));

	for (int i = 0; i < NUM_MERGED_COLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, columns[i].name,
						   OidIsValid(columns[i].type) ? columns[i].type : set_type, -1, 0);
	for (int i = MERGED_EVENT_NAME; i <= MERGED_KEY; i++)
		TupleDescInitEntryCollation(desc, i + 1, C_COLLATION_OID);
	return desc;
}

/*
 * Give the users of a group their numbers. Returns the times of its events, a bytea; 0 if the
 * breakdown keeps none
 */
static Datum
number_users(MergeGroup *group, const uint32 *numbers)
{
	TimeList list = {group->ntimes, false, group->times};

	for (uint32 i = 0; i < group->nusers; i++)
		group->users[i] = numbers[group->users[i]];
	if (group->ntimes == 0)
		return (Datum) 0;
	group->users = palloc_extended(group->ntimes * sizeof(uint32), MCXT_ALLOC_HUGE);
	group->nusers = 0;
	for (uint32 i = 0; i < group->ntimes; i++)
	{
		MinuteTime *time = &group->times[i];

		if (time->user == MINUTE_NO_USER)
			continue;
		time->user = numbers[time->user];
		group->users[group->nusers++] = time->user;
	}
	MinuteTimesSort(group->times, group->ntimes);
	return TimeListDatum(&list);
}

/*
 * Show the groups that have events, with the numbers of their users, to SQL as "merged"
 */
static Tuplestorestate *
show_merged(Merger *merger, const uint32 *numbers)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	TupleDesc desc = make_merged_desc();
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "fast_ingest merged row",
											  ALLOCSET_DEFAULT_SIZES);
	int count = 0;

	for (uint32 i = 0; i < merger->ngroups; i++)
	{
		MergeGroup *group = merger->group_list[i];
		MemoryContext caller;
		UserSet *set;
		Datum values[NUM_MERGED_COLUMNS];
		bool isnull[NUM_MERGED_COLUMNS] = {0};

		if (group->events == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(row);
		caller = MemoryContextSwitchTo(row);
		values[MERGED_TIMES] = number_users(group, numbers);
		isnull[MERGED_TIMES] = values[MERGED_TIMES] == (Datum) 0;
		set = UserSetCreate();
		UserSetAddUnordered(set, group->nusers, group->users);
		values[MERGED_BREAKDOWN] = Int16GetDatum(group->key.breakdown->id);
		values[MERGED_FINEST] =
			Int16GetDatum((int16) BreakdownFinest(group->key.breakdown, group->key.bucket));
		values[MERGED_EVENT_NAME] = MergerTextDatum(merger, group->key.event_name);
		values[MERGED_SCOPE] = MergerTextDatum(merger, group->key.scope);
		values[MERGED_KEY] = MergerTextDatum(merger, group->key.key);
		values[MERGED_BUCKET] = TimestampTzGetDatum(group->key.bucket);
		values[MERGED_EVENTS] = Int64GetDatum(group->events);
		values[MERGED_USERS] = UserSetDatum(set);
		values[MERGED_IS_OTHER] = BoolGetDatum(group->key.is_other);
		values[MERGED_IS_OTHER_NAME] = BoolGetDatum(group->key.is_other_name);
		values[MERGED_SPOT] = Int64GetDatum((int64) group->key.scope << 32 | group->key.key);
		tuplestore_putvalues(store, desc, values, isnull);
		MemoryContextSwitchTo(caller);
		count++;
	}
	MemoryContextDelete(row);

	/* what SPI allocates here stays until after the flush, when memory is reset */
	MemoryContextSwitchTo(merger->parent);
	SpiShow("merged", desc, store, count);
	MemoryContextSwitchTo(merger->memory);
	merger->merged += count;
	return store;
}

void
MergerFlush(Merger *merger)
{
	static const char *const statements[] = {MERGE_FINEST, MERGE_HOURS, MERGE_HOUR_TOTALS,
											 MERGE_HOURS_OF_ALL_NAMES, MERGE_DAYS};
	RollupState *state = merger->state;
	Tuplestorestate *store;
	uint32 *numbers;
	MemoryContext caller;

	if (merger->ngroups == 0)
		return;
	caller = MemoryContextSwitchTo(merger->memory);
	MergerLimitKeys(merger);
	numbers = palloc_extended(Max(merger->nusers, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
	UserNumbersAssign((int) merger->nusers, merger->user_list, numbers, &state->users);
	store = show_merged(merger, numbers);
	for (int i = 0; i < (int) lengthof(statements); i++)
		(void) SpiRunWithTimes(statements[i], state->hours_closed, state->days_closed);
	if (SPI_unregister_relation("merged") != SPI_OK_REL_UNREGISTER)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not unregister \"merged\"")));
	tuplestore_end(store);
	MemoryContextSwitchTo(caller);
	MergerReset(merger);
}
