/*
 * erase_user.c
 *
 * fi_erase_user(): deletes a user's events, and everything that was computed from the user_id,
 * in one transaction.
 *
 * What is deleted is what the snapshot of a refresh shows. It is taken when everything is stored
 * that was staged at the time of the call, and when the user's dead letters are deleted, which a
 * retry could have turned into events. These are the steps:
 *
 * 1. The refresh merges every delta that the snapshot shows. Afterwards the rollup knows the
 *    user by number only.
 * 2. The events that the snapshot shows are deleted, and the number is removed from every set,
 *    also from those of days whose partition was dropped.
 * 3. The refresh counts again what the deletion has marked.
 * 4. The user's row of fast_ingest.users is deleted.
 *
 * Events that are committed later, and their deltas, stay. They count as those of a new user,
 * who gets a new number: no number is given out twice.
 */
#include "postgres.h"

#include "catalog/heap.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "partition/current_partitions.h"
#include "rollup/refresh/close_buckets.h"
#include "rollup/refresh/refresh.h"
#include "rollup/state/refresh_lock.h"
#include "rollup/users/user_hash.h"
#include "shared/shared_state.h"

PG_FUNCTION_INFO_V1(fi_erase_user);

/* How long to wait for staged events; the documentation of fi_erase_user() says it, too. */
#define STAGED_TIMEOUT 10000 /* ms */
#define STAGED_INTERVAL 10	 /* ms between two checks */

/*
 * The user's events: user_id must have the same bytes, even if its collation takes other texts
 * for equal. The first condition lets an index of that collation be used.
 */
#define EVENTS_OF_USER \
	"fast_ingest.events WHERE user_id::text = $1 AND user_id::text COLLATE \"C\" = $1"

/*
 * Remove the user_id from the error messages of other dead letters, where it is a whole word. A
 * message is split at the user_id and joined again.
 */
#define FORGET_IN_ERRORS \
	"UPDATE fast_ingest.dead_letters AS d SET message = m.message" \
	" FROM (SELECT q.id, string_agg(q.piece || CASE WHEN q.next IS NULL THEN ''" \
	"   WHEN right(q.before, 1) ~ '\\w' OR left(q.next, 1) ~ '\\w' THEN $1" \
	"   ELSE '(erased)' END, '' ORDER BY q.n) AS message" \
	"  FROM (SELECT l.id, p.n, p.piece," \
	"    CASE WHEN p.n > 1 THEN $1 || p.piece ELSE p.piece END AS before," \
	"    lead(p.piece) OVER w || CASE WHEN lead(p.piece, 2) OVER w IS NULL THEN '' ELSE $1 END AS next" \
	"   FROM fast_ingest.dead_letters AS l," \
	"    unnest(string_to_array(l.message, $1)) WITH ORDINALITY AS p (piece, n)" \
	"   WHERE strpos(l.message, $1) > 0 WINDOW w AS (PARTITION BY l.id ORDER BY p.n)) AS q" \
	"  GROUP BY q.id) AS m WHERE d.id = m.id AND d.message <> m.message"

/*
 * Remove the user's number, %u, from all sets. Returns the buckets of the changed rows, in order,
 * and whether they are hours of channels, which have a total without a set beside them.
 *
 * Arguments have the types of our functions: the owner of events may make functions in the schema,
 * and one of the same name that fits better would be called with the rights of the rollup's owner.
 */
#define REMOVE_NUMBER \
	"WITH sets AS (" \
	" UPDATE fast_ingest.rollup AS r SET unique_users = r.unique_users - 1," \
	"  users = fast_ingest.user_set_and_not(r.users, u.one)," \
	"  minutes = CASE WHEN r.level = 1 THEN fast_ingest.forget_user_in_times(r.minutes, %u::bigint)" \
	"   ELSE (SELECT fast_ingest.pack_minutes(m.minute, m.events," \
	"     fast_ingest.user_set_and_not(m.users, u.one)," \
	"     fast_ingest.forget_user_in_times(m.times, %u::bigint))" \
	"    FROM fast_ingest.unpack_minutes(r.users, r.minutes) AS m) END" \
	" FROM (SELECT fast_ingest.user_set_in('{%u}'::cstring) AS one) AS u" \
	" WHERE fast_ingest.user_set_contains(r.users, %u::bigint)" \
	" RETURNING r.bucket, r.breakdown = 1 AND r.level = 2 AS has_total" \
	") SELECT bucket, has_total FROM sets ORDER BY bucket"

/*
 * Dead letters of streams are lines of JSON that have the user_id, or records of Kafka whose key
 * is the user_id in base64
 */
#define DELETE_STREAM_LETTERS \
	"DELETE FROM fast_ingest.stream_dead_letters WHERE event::json ->> 'user_id' = $1" \
	" OR event::json ->> 'key' = translate(encode(convert_to($1, 'UTF8'), 'base64'), E'\n', '')"

typedef struct
{
	Datum user_id; /* text */
	Datum hash;	   /* uuid */
	int64 events;
	int64 dead_letters;
	int64 rollup_rows;
	int64 users;
} Erasure;

/*
 * Wait until a ring is stored up to a position, but not beyond a moment (see clock.h)
 */
static void
await_ring(Ring *ring, uint64 position, int64 end)
{
	while (RingCommitted(ring) < position)
	{
		if (MonotonicLeft(MonotonicNow(), end) == 0)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("staged events were not stored within %d seconds",
								   STAGED_TIMEOUT / 1000),
							errdetail("Some of them may be those of the user."),
							errhint("fi_status() says what the flusher waits for. Call "
									"fi_erase_user() again, in a transaction of its own.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STAGED_INTERVAL,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Wait until everything is stored that is staged at this moment: it may be acknowledged already
 */
static void
await_staged(void)
{
	int64 end = MonotonicAfter(MonotonicNow(), STAGED_TIMEOUT);
	uint64 published[MAX_LISTENERS][NUM_LANES];

	if (Shared == NULL || MyDatabaseId != get_database_oid(fi_database, true))
		return;
	for (int i = 0; i < fi_listeners; i++)
		for (int lane = 0; lane < NUM_LANES; lane++)
			published[i][lane] = RingPublished(StagingRings[i][lane]);
	for (int i = 0; i < fi_listeners; i++)
		for (int lane = 0; lane < NUM_LANES; lane++)
			await_ring(StagingRings[i][lane], published[i][lane], end);
}

/*
 * Delete the user's dead letters, and remove the user_id from messages of others. Waits for
 * retries that are under way.
 */
static void
erase_dead_letters(Erasure *erasure)
{
	Oid type = TEXTOID;
	SavedUser user = ActAsRollupOwner();

	erasure->dead_letters =
		SpiRunWith("DELETE FROM fast_ingest.dead_letters WHERE event ->> 'user_id' = $1",
				   SPI_OK_DELETE, 1, &type, &erasure->user_id) +
		SpiRunWith(DELETE_STREAM_LETTERS, SPI_OK_DELETE, 1, &type, &erasure->user_id) +
		SpiRunWith(FORGET_IN_ERRORS, SPI_OK_UPDATE, 1, &type, &erasure->user_id);
	ActAsCallerAgain(user);
}

/*
 * Delete the user's events that a snapshot shows, as the owner of events. An ERROR (55000) if
 * some of them stay. Only a trigger can keep them, so nothing is looked for where there is none.
 */
static void
erase_events(Snapshot snapshot, Erasure *erasure)
{
	Oid type = TEXTOID;
	SavedUser user;

	CurrentPartitionsLoad();
	user = ActAsEventsOwner();
	erasure->events = SpiRunAt(snapshot, "DELETE FROM " EVENTS_OF_USER, SPI_OK_DELETE, 1, &type,
							   &erasure->user_id);
	if (SpiRunAt(snapshot,
				 "SELECT FROM " EVENTS_OF_USER " AND EXISTS (SELECT FROM pg_trigger AS t"
				 " JOIN pg_partition_tree('fast_ingest.events') AS p ON p.relid = t.tgrelid"
				 /* BEFORE DELETE FOR EACH ROW */
				 " WHERE t.tgtype & 11 = 11) LIMIT 1",
				 SPI_OK_SELECT, 1, &type, &erasure->user_id) > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("events of the user were not deleted"),
						errdetail("A trigger BEFORE DELETE of fast_ingest.events or of a partition "
								  "keeps them.")));
	ActAsCallerAgain(user);
}

/*
 * Remove the user's number, if there is one, from the rollup
 */
static void
erase_number(Erasure *erasure)
{
	Oid type = UUIDOID;
	bool isnull;
	uint32 number;
	char statement[2048];
	TimeRangeList hours = {0};

	erasure->users = SpiRunWith("SELECT user_no FROM fast_ingest.users WHERE user_hash = $1",
								SPI_OK_SELECT, 1, &type, &erasure->hash);
	if (erasure->users == 0)
		return;
	number = (uint32) DatumGetInt32(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	snprintf(statement, sizeof(statement), REMOVE_NUMBER, number, number, number, number);
	erasure->rollup_rows = SpiRunWithTimes(statement, 0, 0);
	for (int64 i = 0; i < erasure->rollup_rows; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		TimestampTz hour = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull));

		if (DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull)))
			TimeRangeListAdd(&hours, hour, hour + USECS_PER_HOUR);
	}
	CloseBucketsCountTotals(&hours);
}

/*
 * Remove the statistics of columns user_id in which the user_id occurs. Takes locks without
 * waiting, with a WARNING where it does not get one: an ANALYZE under way may have read the
 * deleted rows.
 */
static void
erase_statistics(Erasure *erasure)
{
	Oid type = TEXTOID;
	SavedUser user = ActAsEventsOwner();
	uint64 found =
		SpiRunWith("SELECT DISTINCT a.attrelid, a.attnum"
				   " FROM pg_partition_tree('fast_ingest.events') AS p"
				   " JOIN pg_attribute AS a ON a.attrelid = p.relid AND a.attname = 'user_id'"
				   " JOIN pg_class AS c ON c.oid = p.relid"
				   " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
				   " JOIN pg_stats AS s ON s.schemaname = n.nspname"
				   "  AND s.tablename = c.relname AND s.attname = a.attname"
				   " WHERE $1 = ANY (s.most_common_vals::text::text[])"
				   "  OR $1 = ANY (s.histogram_bounds::text::text[])",
				   SPI_OK_SELECT, 1, &type, &erasure->user_id);

	for (uint64 i = 0; i < found; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		Oid table = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		AttrNumber column = DatumGetInt16(SPI_getbinval(tuple, desc, 2, &isnull));

		if (ConditionalLockRelationOid(table, ShareUpdateExclusiveLock))
			RemoveStatistics(table, column);
		else
			ereport(WARNING,
					(errmsg("statistics of \"%s\" may still hold the user_id", get_rel_name(table)),
					 errhint("Run ANALYZE on it.")));
	}
	ActAsCallerAgain(user);
}

/*
 * What happens between the two parts of the refresh
 */
static void
erase_merged(Snapshot snapshot, void *arg)
{
	erase_events(snapshot, arg);
	erase_number(arg);
}

/*
 * Delete the user's row, and let processes forget the numbers that they have in memory
 */
static void
erase_user_row(Erasure *erasure)
{
	Oid type = UUIDOID;
	SavedUser user = ActAsRollupOwner();

	if (erasure->users > 0)
		(void) SpiRun("UPDATE fast_ingest.rollup_state SET erased = erased + 1", SPI_OK_UPDATE);

	(void) SpiRunWith("DELETE FROM fast_ingest.users WHERE user_hash = $1", SPI_OK_DELETE, 1, &type,
					  &erasure->hash);
	ActAsCallerAgain(user);
}

/*
 * fi_erase_user(user_id) RETURNS (events, dead_letters, rollup_rows, users)
 */
Datum
fi_erase_user(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Erasure erasure = {0};
	struct varlena *text = PG_ARGISNULL(0) ? NULL : PG_GETARG_VARLENA_PP(0);
	UserHasher *hasher;
	UserHash hash;
	Datum values[4];
	bool isnull[4] = {0};

	PreventCommandIfReadOnly("fi_erase_user()");
	if (text == NULL || VARSIZE_ANY_EXHDR(text) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("user_id must not be %s", text == NULL ? "NULL" : "empty"),
						errdetail("Events without a user_id are nobody's.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	await_staged();
	RefreshLock();
	LockEventsTable();
	hasher = UserHasherCreate();
	hash = UserHashOf(hasher, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	UserHasherFree(hasher);
	erasure.user_id = PointerGetDatum(text);
	erasure.hash = UUIDPGetDatum((pg_uuid_t *) hash.bytes);

	SPI_connect();
	/* PostgreSQL refuses to defer constraints for what is done as another user */
	(void) SpiRun("SET CONSTRAINTS ALL IMMEDIATE", SPI_OK_UTILITY);
	erase_dead_letters(&erasure);
	RefreshAround(erase_merged, &erasure);
	erase_user_row(&erasure);
	erase_statistics(&erasure);
	SPI_finish();

	values[0] = Int64GetDatum(erasure.events);
	values[1] = Int64GetDatum(erasure.dead_letters);
	values[2] = Int64GetDatum(erasure.rollup_rows);
	values[3] = Int64GetDatum(erasure.users);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, isnull));
}
