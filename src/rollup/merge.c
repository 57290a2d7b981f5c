/*
 * merge.c
 *
 * Gathering groups and merging them into the rollup. The merging is SQL over
 * the gathered groups, shown to it as the relation "merged" (as batch.c shows
 * staged events): rows that a group falls into are deleted, and inserted again
 * with the group in them.
 */
#include "postgres.h"

#include "rollup/merge.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "event/event.h"
#include "rollup/dictionary.h"
#include "rollup/metrics.h"
#include "rollup/text_map.h"
#include "rollup/user_map.h"
#include "rollup/user_set.h"
#include "room.h"
#include "spi.h"

/* What gathers before it is merged. */
#define MAX_GROUPS 100000
#define MAX_REFS (4 * 1024 * 1024)

/* What identifies a group; without padding, for it is hashed as bytes. */
typedef struct
{
	const Breakdown *breakdown;
	TimestampTz bucket;
	uint32 event_name;
	uint32 scope;
	uint32 key;
	uint32 zero;
} MergeGroupKey;

struct MergeGroup
{
	Merger *merger;
	MergeGroupKey key;
	int64 events;
	uint32 *users;
	uint32 nusers;
	uint32 room;
};

typedef struct
{
	MergeGroupKey key;
	MergeGroup *group;
	char status;
} MergeGroupEntry;

#define SH_PREFIX mgroups
#define SH_ELEMENT_TYPE MergeGroupEntry
#define SH_KEY_TYPE MergeGroupKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_bytes((const unsigned char *) &(key), sizeof(MergeGroupKey))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(MergeGroupKey)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Merger
{
	RollupState *state;
	const BreakdownList *breakdowns;
	MemoryContext parent;
	MemoryContext memory; /* of all below; reset by a flush */
	TextMap *texts;
	Slice *text_list;
	uint32 ntexts;
	uint32 text_room;
	UserMap *users;
	UserHash *user_list;
	uint32 nusers;
	uint32 user_room;
	mgroups_hash *groups;
	MergeGroup **group_list;
	uint32 ngroups;
	uint32 group_room;
	uint64 nrefs;
	int64 merged;
	Span touched; /* the buckets merged so far */
};

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
	NUM_MERGED_COLUMNS
};

/* $1 is RollupState.hours_closed, $2 days_closed. */

/*
 * Rows of sets are not rewritten with every refresh: a key may have several rows
 * in a bucket, its parts. Those that are not larger than twice what comes to
 * them are taken up, smallest first. So there are few parts, the largest many
 * times the smallest, and no user is written again more often than that. The
 * statement goes on behind a list of new groups, one for each key.
 */
#define TAKE_UP \
	", parts AS (" \
	" SELECT r.ctid AS part, r.unique_users AS size, n.breakdown, n.level, n.event_name," \
	"  n.bucket, n.scope, n.key, %1$s.fi_cardinality(n.users) AS new_size" \
	" FROM new AS n JOIN fast_ingest.rollup AS r" \
	"  ON r.breakdown = n.breakdown AND r.level = n.level AND r.event_name = n.event_name" \
	"  AND r.bucket = n.bucket AND r.scope = n.scope AND r.key = n.key" \
	"), sized AS (" \
	" SELECT *, new_size + coalesce(sum(size) OVER (PARTITION BY " KEY_COLUMNS \
	"  ORDER BY size, part ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before" \
	" FROM parts" \
	"), judged AS (" \
	" SELECT *, bool_and(size <= 2 * before) OVER (PARTITION BY " KEY_COLUMNS \
	"  ORDER BY size, part) AS taken FROM sized" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r USING judged AS j WHERE r.ctid = j.part AND j.taken" \
	" RETURNING r.breakdown, r.level, r.event_name, r.bucket, r.scope, r.key, r.events, r.users)" \
	"INSERT INTO fast_ingest.rollup" \
	" (" KEY_COLUMNS ", events, unique_users, users, is_part)" \
	" SELECT " KEY_COLUMNS ", sum(events), %1$s.fi_cardinality(%1$s.fi_union(users))," \
	"  %1$s.fi_union(users)," \
	"  (" KEY_COLUMNS ") IN (SELECT " KEY_COLUMNS " FROM judged WHERE NOT taken)" \
	" FROM (SELECT * FROM new UNION ALL SELECT * FROM old) AS both_of_them" \
	" GROUP BY " KEY_COLUMNS
#define KEY_COLUMNS "breakdown, level, event_name, bucket, scope, key"

/* Rows of the finest level, but for minutes of closed hours. */
#define MERGE_FINEST \
	"WITH new AS (" \
	" SELECT breakdown, finest AS level, event_name, bucket, scope, key, events, users" \
	" FROM merged WHERE finest > 1 OR bucket >= $1)" TAKE_UP

/* Rows of closed days, and of their totals. */
#define MERGE_DAYS \
	"WITH new AS (" \
	" SELECT breakdown, level, event_name, bucket, scope, key," \
	"  sum(events)::bigint AS events, %1$s.fi_union(users) AS users" \
	" FROM (SELECT breakdown, 3::smallint AS level, event_name," \
	"   date_trunc('day', bucket, 'UTC') AS bucket, scope, key, events, users" \
	"  FROM merged WHERE finest < 3 AND bucket < $2" \
	"  UNION ALL" \
	"  SELECT 0::smallint, 3::smallint, event_name, date_trunc('day', bucket, 'UTC'), '', ''," \
	"   events, users" \
	"  FROM merged WHERE breakdown = 1 AND bucket < $2) AS days" \
	" GROUP BY " KEY_COLUMNS ")" TAKE_UP

/* Rows of closed hours, which hold their minutes. */
#define MERGE_HOURS \
	"WITH new AS (" \
	" SELECT breakdown, event_name, date_trunc('hour', bucket, 'UTC') AS hour, scope, key," \
	"  bucket, events, users" \
	" FROM merged WHERE finest = 1 AND bucket < $1" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r" \
	" USING (SELECT DISTINCT breakdown, event_name, hour, scope, key FROM new) AS n" \
	" WHERE r.breakdown = n.breakdown AND r.level = 2 AND r.event_name = n.event_name" \
	"  AND r.bucket = n.hour AND r.scope = n.scope AND r.key = n.key" \
	" RETURNING r.breakdown, r.event_name, r.bucket AS hour, r.scope, r.key, r.users, r.minutes)" \
	"INSERT INTO fast_ingest.rollup" \
	" (breakdown, level, event_name, bucket, scope, key, events, unique_users, users, minutes)" \
	" SELECT breakdown, 2, event_name, hour, scope, key, sum(events)," \
	"  %1$s.fi_cardinality(%1$s.fi_union(users)), %1$s.fi_union(users)," \
	"  %1$s.fi_pack_minutes(minute, events, users)" \
	" FROM (SELECT breakdown, event_name, hour, scope, key," \
	"   (extract(epoch FROM bucket - hour) / 60)::integer AS minute, events, users FROM new" \
	"  UNION ALL" \
	"  SELECT o.breakdown, o.event_name, o.hour, o.scope, o.key, m.minute, m.events, m.users" \
	"  FROM old AS o, %1$s.fi_unpack_minutes(o.users, o.minutes) AS m) AS both_of_them" \
	" GROUP BY breakdown, event_name, hour, scope, key"

/* Totals of closed hours are counted again from their channels. */
#define MERGE_HOUR_TOTALS \
	"WITH touched AS (" \
	" SELECT DISTINCT event_name, date_trunc('hour', bucket, 'UTC') AS hour" \
	" FROM merged WHERE breakdown = 1 AND bucket < $1" \
	"), old AS (" \
	" DELETE FROM fast_ingest.rollup AS r USING touched AS t" \
	" WHERE r.breakdown = 0 AND r.level = 2 AND r.event_name = t.event_name AND r.bucket = t.hour)" \
	"INSERT INTO fast_ingest.rollup" \
	" (breakdown, level, event_name, bucket, scope, key, events, unique_users)" \
	" SELECT 0, 2, r.event_name, r.bucket, '', '', sum(r.events)," \
	"  %1$s.fi_cardinality(%1$s.fi_union(r.users))" \
	" FROM touched AS t JOIN fast_ingest.rollup AS r ON r.breakdown = 1 AND r.level = 2" \
	"  AND r.event_name = t.event_name AND r.bucket = t.hour" \
	" GROUP BY r.event_name, r.bucket"

/* The keys that a bucket, from $4 to before $5, has rows for. */
#define KEYS_OF_BUCKET \
	"SELECT DISTINCT scope, key FROM fast_ingest.rollup" \
	" WHERE breakdown = $1 AND level = ANY ($2) AND event_name = $3" \
	"  AND bucket >= $4 AND bucket < $5 AND key <> '" METRICS_OTHER "'"

static void
merger_reset(Merger *merger)
{
	MemoryContextReset(merger->memory);
	merger->texts = TextMapCreate(merger->memory, 256);
	merger->users = UserMapCreate(merger->memory, 1024);
	merger->groups = mgroups_create(merger->memory, 256, NULL);
	merger->text_list = NULL;
	merger->user_list = NULL;
	merger->group_list = NULL;
	merger->ntexts = merger->nusers = merger->ngroups = 0;
	merger->text_room = merger->user_room = merger->group_room = 0;
	merger->nrefs = 0;
}

Merger *
MergerCreate(RollupState *state, const BreakdownList *breakdowns)
{
	Merger *merger = palloc0(sizeof(Merger));

	merger->state = state;
	merger->breakdowns = breakdowns;
	merger->parent = CurrentMemoryContext;
	merger->touched = (Span){TIME_END, TIME_BEGIN};
	merger->memory =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest merge", ALLOCSET_DEFAULT_SIZES);
	merger_reset(merger);
	return merger;
}

uint32
MergerText(Merger *merger, const char *text, size_t len)
{
	bool found;
	TextMapEntry *entry = TextMapAdd(merger->texts, (Slice){text, len}, &found);

	if (!found)
	{
		merger->text_list = RoomForOneMore(merger->memory, merger->text_list, merger->ntexts,
										   &merger->text_room, sizeof(Slice));
		merger->text_list[merger->ntexts] = entry->text;
		entry->number = merger->ntexts++;
	}
	return entry->number;
}

uint32
MergerUser(Merger *merger, UserHash hash)
{
	bool found;
	UserMapEntry *entry = UserMapAdd(merger->users, hash, &found);

	if (!found)
	{
		merger->user_list = RoomForOneMore(merger->memory, merger->user_list, merger->nusers,
										   &merger->user_room, sizeof(UserHash));
		merger->user_list[merger->nusers] = hash;
		entry->number = merger->nusers++;
	}
	return entry->number;
}

MergeGroup *
MergerGroup(Merger *merger, const Breakdown *breakdown, uint32 event_name, uint32 scope, uint32 key,
			TimestampTz bucket)
{
	MergeGroupKey id = {breakdown, bucket, event_name, scope, key, 0};
	bool found;
	MergeGroupEntry *entry = mgroups_insert(merger->groups, id, &found);

	if (!found)
	{
		MergeGroup *group = MemoryContextAllocZero(merger->memory, sizeof(MergeGroup));

		group->merger = merger;
		group->key = id;
		entry->group = group;
		merger->group_list = RoomForOneMore(merger->memory, merger->group_list, merger->ngroups,
											&merger->group_room, sizeof(MergeGroup *));
		merger->group_list[merger->ngroups++] = group;
		merger->touched.low = Min(merger->touched.low, bucket);
		merger->touched.high = Max(merger->touched.high, bucket);
	}
	return entry->group;
}

void
MergeGroupEvents(MergeGroup *group, int64 events)
{
	group->events += events;
}

void
MergeGroupUser(MergeGroup *group, uint32 user)
{
	group->users = RoomForOneMore(group->merger->memory, group->users, group->nusers, &group->room,
								  sizeof(uint32));
	group->users[group->nusers++] = user;
	group->merger->nrefs++;
}

bool
MergerIsFull(const Merger *merger)
{
	return merger->ngroups >= MAX_GROUPS || merger->nrefs >= MAX_REFS;
}

Span
MergerTouched(const Merger *merger)
{
	return merger->touched;
}

int64
MergerGroupsMerged(const Merger *merger)
{
	return merger->merged;
}

uint64
RollupStatement(const char *statement, TimestampTz first, TimestampTz second)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(first), TimestampTzGetDatum(second)};
	const char *schema = ExtensionSchema();
	StringInfoData text;
	uint64 rows;

	initStringInfo(&text);
	for (const char *c = statement; *c != '\0'; c++)
	{
		if (strncmp(c, "%1$s", 4) == 0)
		{
			appendStringInfoString(&text, schema);
			c += 3;
		}
		else
			appendStringInfoChar(&text, *c);
	}
	rows = SpiRunWith(text.data, SPI_ANY_RESULT, 2, types, values);
	pfree(text.data);
	return rows;
}

/*
 * The bucket within which keys are counted for a breakdown's max_keys
 */
static TimestampTz
cap_bucket(const MergeGroup *group)
{
	RollupLevel finest = group->key.breakdown->finest;

	return BucketStart(group->key.bucket, finest == LEVEL_MINUTE ? LEVEL_HOUR : finest);
}

static int
compare_by_cap(const void *a, const void *b)
{
	const MergeGroup *left = *(MergeGroup *const *) a;
	const MergeGroup *right = *(MergeGroup *const *) b;
	TimestampTz left_bucket = cap_bucket(left);
	TimestampTz right_bucket = cap_bucket(right);

	if (left->key.breakdown->id != right->key.breakdown->id)
		return left->key.breakdown->id - right->key.breakdown->id;
	if (left->key.event_name != right->key.event_name)
		return left->key.event_name < right->key.event_name ? -1 : 1;
	if (left_bucket != right_bucket)
		return left_bucket < right_bucket ? -1 : 1;
	if (left->key.scope != right->key.scope)
		return left->key.scope < right->key.scope ? -1 : 1;
	if (left->key.key != right->key.key)
		return left->key.key < right->key.key ? -1 : 1;
	return 0;
}

static bool
same_cap(const MergeGroup *a, const MergeGroup *b)
{
	return a->key.breakdown == b->key.breakdown && a->key.event_name == b->key.event_name &&
		   cap_bucket(a) == cap_bucket(b);
}

static bool
same_key(const MergeGroup *a, const MergeGroup *b)
{
	return a->key.scope == b->key.scope && a->key.key == b->key.key;
}

/*
 * Read the keys that the rollup has in the bucket of a group, and how many
 */
static TextMap *
known_keys(Merger *merger, const MergeGroup *group, int *count)
{
	static const int16 levels[] = {LEVEL_MINUTE, LEVEL_HOUR};
	RollupLevel finest = group->key.breakdown->finest;
	TimestampTz bucket = cap_bucket(group);
	RollupLevel width = finest == LEVEL_MINUTE ? LEVEL_HOUR : finest;
	Slice name = merger->text_list[group->key.event_name];
	Oid types[] = {INT2OID, INT2ARRAYOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum level_items[2];
	int nlevels = finest == LEVEL_MINUTE ? 2 : 1;
	Datum values[5];
	TextMap *keys = TextMapCreate(merger->memory, 64);

	level_items[0] = Int16GetDatum(finest == LEVEL_MINUTE ? levels[0] : (int16) finest);
	level_items[1] = Int16GetDatum(levels[1]);
	values[0] = Int16GetDatum(group->key.breakdown->id);
	values[1] = PointerGetDatum(
		construct_array(level_items, nlevels, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
	values[2] = PointerGetDatum(cstring_to_text_with_len(name.data, (int) name.len));
	values[3] = TimestampTzGetDatum(bucket);
	values[4] = TimestampTzGetDatum(bucket + BucketWidth(width));
	*count = (int) SpiRunWith(KEYS_OF_BUCKET, SPI_OK_SELECT, 5, types, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		char *scope = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		char *key = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		char *both = psprintf("%zu %s%s", strlen(scope), scope, key);
		bool found;

		(void) TextMapAdd(keys, (Slice){both, strlen(both)}, &found);
	}
	SPI_freetuptable(SPI_tuptable);
	return keys;
}

static bool
key_is_known(Merger *merger, TextMap *keys, const MergeGroup *group)
{
	Slice scope = merger->text_list[group->key.scope];
	Slice key = merger->text_list[group->key.key];
	char *both =
		psprintf("%zu %.*s%.*s", scope.len, (int) scope.len, scope.data, (int) key.len, key.data);
	bool known = TextMapHas(keys, (Slice){both, strlen(both)});

	pfree(both);
	return known;
}

/*
 * Count a group's events under METRICS_OTHER instead
 */
static void
move_to_other(Merger *merger, MergeGroup *group)
{
	MergeGroup *other =
		MergerGroup(merger, group->key.breakdown, group->key.event_name, group->key.scope,
					MergerText(merger, METRICS_OTHER, strlen(METRICS_OTHER)), group->key.bucket);

	MergeGroupEvents(other, group->events);
	for (uint32 i = 0; i < group->nusers; i++)
		MergeGroupUser(other, group->users[i]);
	group->events = 0;
}

/*
 * Keep each bucket below its breakdown's max_keys: first come, first served
 */
static void
cap_keys(Merger *merger)
{
	uint32 n = merger->ngroups;
	MergeGroup **sorted = MemoryContextAllocHuge(merger->memory, n * sizeof(MergeGroup *));

	memcpy(sorted, merger->group_list, n * sizeof(MergeGroup *));
	qsort(sorted, n, sizeof(MergeGroup *), compare_by_cap);
	for (uint32 i = 0, end; i < n; i = end)
	{
		const Breakdown *breakdown = sorted[i]->key.breakdown;
		TextMap *known;
		int count;
		bool fits = false;

		for (end = i + 1; end < n && same_cap(sorted[i], sorted[end]); end++)
			;
		known = known_keys(merger, sorted[i], &count);
		if (count + (int64) (end - i) <= breakdown->max_keys)
			continue;
		for (uint32 j = i; j < end; j++)
		{
			bool next_key = j == i || !same_key(sorted[j], sorted[j - 1]);
			Slice key = merger->text_list[sorted[j]->key.key];

			if (next_key)
			{
				fits = key_is_known(merger, known, sorted[j]) ||
					   (key.len == strlen(METRICS_OTHER) &&
						memcmp(key.data, METRICS_OTHER, key.len) == 0);
				if (!fits && count < breakdown->max_keys)
				{
					fits = true;
					count++;
				}
			}
			if (!fits)
				move_to_other(merger, sorted[j]);
		}
	}
}

static TupleDesc
merged_desc(void)
{
	static const struct
	{
		const char *name;
		Oid type;
	} columns[] = {{"breakdown", INT2OID}, {"finest", INT2OID},	 {"event_name", TEXTOID},
				   {"scope", TEXTOID},	   {"key", TEXTOID},	 {"bucket", TIMESTAMPTZOID},
				   {"events", INT8OID},	   {"users", InvalidOid}};
	TupleDesc desc = CreateTemplateTupleDesc(NUM_MERGED_COLUMNS);

	for (int i = 0; i < NUM_MERGED_COLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, columns[i].name,
						   OidIsValid(columns[i].type) ? columns[i].type : ExtensionSetType(), -1,
						   0);
	for (int i = MERGED_EVENT_NAME; i <= MERGED_KEY; i++)
		TupleDescInitEntryCollation(desc, i + 1, C_COLLATION_OID);
	return desc;
}

static Datum
text_datum(Merger *merger, uint32 number)
{
	Slice text = merger->text_list[number];

	return PointerGetDatum(cstring_to_text_with_len(text.data, (int) text.len));
}

/*
 * Put the groups, with the users' numbers, where SQL finds them
 */
static Tuplestorestate *
register_merged(Merger *merger, const uint32 *numbers)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	TupleDesc desc = merged_desc();
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
		for (uint32 j = 0; j < group->nusers; j++)
			group->users[j] = numbers[group->users[j]];
		set = UserSetCreate();
		UserSetAddMany(set, group->nusers, group->users);
		values[MERGED_BREAKDOWN] = Int16GetDatum(group->key.breakdown->id);
		values[MERGED_FINEST] = Int16GetDatum((int16) group->key.breakdown->finest);
		values[MERGED_EVENT_NAME] = text_datum(merger, group->key.event_name);
		values[MERGED_SCOPE] = text_datum(merger, group->key.scope);
		values[MERGED_KEY] = text_datum(merger, group->key.key);
		values[MERGED_BUCKET] = TimestampTzGetDatum(group->key.bucket);
		values[MERGED_EVENTS] = Int64GetDatum(group->events);
		values[MERGED_USERS] = UserSetDatum(set);
		tuplestore_putvalues(store, desc, values, isnull);
		MemoryContextSwitchTo(caller);
		count++;
	}
	MemoryContextDelete(row);

	relation->md.name = "merged";
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = count;
	relation->reldata = store;
	/* what SPI allocates here must outlive this flush */
	MemoryContextSwitchTo(merger->parent);
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not register \"merged\"")));
	MemoryContextSwitchTo(merger->memory);
	merger->merged += count;
	return store;
}

void
MergerFlush(Merger *merger)
{
	static const char *const statements[] = {MERGE_FINEST, MERGE_HOURS, MERGE_HOUR_TOTALS,
											 MERGE_DAYS};
	RollupState *state = merger->state;
	Tuplestorestate *store;
	uint32 *numbers;
	MemoryContext caller;

	if (merger->ngroups == 0)
		return;
	caller = MemoryContextSwitchTo(merger->memory);
	cap_keys(merger);
	numbers = palloc_extended(Max(merger->nusers, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
	DictionaryAssign((int) merger->nusers, merger->user_list, numbers, &state->users);
	store = register_merged(merger, numbers);
	for (int i = 0; i < (int) lengthof(statements); i++)
		(void) RollupStatement(statements[i], state->hours_closed, state->days_closed);
	if (SPI_unregister_relation("merged") != SPI_OK_REL_UNREGISTER)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not unregister \"merged\"")));
	tuplestore_end(store);
	MemoryContextSwitchTo(caller);
	merger_reset(merger);
}
