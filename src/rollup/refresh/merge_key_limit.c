/*
 * merge_key_limit.c
 *
 * Limits how many event_names, and how many keys of each, get rows of their own, by the rule
 * of key_limit.h.
 */
#include "postgres.h"

#include "rollup/refresh/merge_private.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "db/spi.h"
#include "rollup/state/key_limit.h"

/*
 * The days and event_names, of the arrays $1 and $2, that have no rows of their own, with their
 * positions in the arrays, from 1
 */
#define UNKNOWN_NAMES \
	"SELECT n.day, n.event_name COLLATE \"C\" AS event_name, n.i::integer AS i" \
	" FROM unnest($1, $2) WITH ORDINALITY AS n (day, event_name, i)" \
	" WHERE NOT EXISTS (SELECT FROM fast_ingest.event_names AS e" \
	"  WHERE e.day = n.day AND e.event_name = n.event_name AND NOT e.is_other)"

/*
 * Give them rows of their own, unless there would be more than $3 names on the day, or there
 * are others already.
 */
#define KEEP_NAMES \
	"INSERT INTO fast_ingest.event_names (day, event_name, is_other)" \
	" SELECT DISTINCT day, CASE WHEN fits THEN event_name ELSE '' END, NOT fits" \
	" FROM (SELECT day, event_name, i, NOT bool_or(is_other) OVER (PARTITION BY day)" \
	"   AND row_number() OVER (PARTITION BY day ORDER BY i NULLS FIRST) <= $3 AS fits" \
	"  FROM (SELECT u.*, false AS is_other FROM (" UNKNOWN_NAMES ") AS u" \
	"   UNION ALL" \
	"   SELECT day, event_name, NULL, is_other FROM fast_ingest.event_names" \
	"   WHERE day = ANY ($1)) AS all_names) AS judged" \
	" WHERE i IS NOT NULL ON CONFLICT DO NOTHING"

/* The keys of an event_name from $5 to before $6; is_other where keys are counted together. */
#define KEYS_OF_NAME \
	"SELECT DISTINCT scope, key, is_other FROM fast_ingest.rollup" \
	" WHERE breakdown = $1 AND level = ANY ($2) AND event_name = $3 AND is_other_name = $4" \
	"  AND bucket >= $5 AND bucket < $6"

/* Adjacent groups of a sorted array. */
typedef struct
{
	MergeGroup **groups;
	uint32 n;
} GroupRun;

typedef int (*GroupComparator)(const MergeGroup *a, const MergeGroup *b);

static int
compare_numbers(int64 a, int64 b)
{
	return (a > b) - (a < b);
}

/*
 * Order groups by day and event_name
 */
static int
compare_names(const MergeGroup *a, const MergeGroup *b)
{
	int result = compare_numbers(BucketStart(a->key.bucket, LEVEL_DAY),
								 BucketStart(b->key.bucket, LEVEL_DAY));

	return result == 0 ? compare_numbers(a->key.event_name, b->key.event_name) : result;
}

/*
 * Order groups by breakdown, bucket and event_name: the keys of equal groups share a limit
 */
static int
compare_limits(const MergeGroup *a, const MergeGroup *b)
{
	int result = compare_numbers(a->key.breakdown->id, b->key.breakdown->id);

	if (result == 0)
		result = compare_numbers(a->limit_bucket, b->limit_bucket);
	if (result == 0)
		result = compare_numbers(a->key.is_other_name, b->key.is_other_name);
	return result == 0 ? compare_numbers(a->key.event_name, b->key.event_name) : result;
}

/*
 * Order groups by the same, scope and key
 */
static int
compare_keys(const MergeGroup *a, const MergeGroup *b)
{
	int result = compare_limits(a, b);

	if (result == 0)
		result = compare_numbers(a->key.scope, b->key.scope);
	return result == 0 ? compare_numbers(a->key.key, b->key.key) : result;
}

static int
compare_pointers(const void *a, const void *b, void *comparator)
{
	return (*(GroupComparator *) comparator)(*(MergeGroup *const *) a, *(MergeGroup *const *) b);
}

/*
 * The groups that have events, sorted
 */
static GroupRun
sort_groups(Merger *merger, GroupComparator comparator)
{
	GroupRun all = {MemoryContextAllocHuge(merger->memory, merger->ngroups * sizeof(MergeGroup *)),
					0};

	for (uint32 i = 0; i < merger->ngroups; i++)
	{
		MergeGroup *group = merger->group_list[i];
		const MergeGroupKey *key = &group->key;

		if (group->events == 0)
			continue;
		group->limit_bucket = BucketStart(key->bucket, KeyLimitLevel(key->breakdown, key->bucket));
		all.groups[all.n++] = group;
	}
	qsort_arg(all.groups, all.n, sizeof(MergeGroup *), compare_pointers, &comparator);
	return all;
}

/*
 * Is a group the first of those that are equal for a comparator?
 */
static bool
is_first_of(const GroupRun *run, uint32 i, GroupComparator comparator)
{
	return i == 0 || comparator(run->groups[i], run->groups[i - 1]) != 0;
}

/*
 * Move the events and users of a group to a group of others
 */
static void
move_events(MergeGroup *group, MergeGroupKey id)
{
	MergeGroupMove(group, MergerGroupOf(group->merger, id));
}

/*
 * Mark the names in the parameters that have no rows of their own; false if there are none
 */
static bool
find_unknown_names(Oid *types, Datum *values, bool *unknown)
{
	bool found = SpiRunWith(UNKNOWN_NAMES, SPI_OK_SELECT, 2, types, values) > 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		unknown[DatumGetInt32(
					SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull)) -
				1] = true;
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/*
 * Limit the event_names of each day
 */
static void
limit_names(Merger *merger)
{
	GroupRun all = sort_groups(merger, compare_names);
	Datum *days = palloc_extended(all.n * sizeof(Datum), MCXT_ALLOC_HUGE);
	Datum *names = palloc_extended(all.n * sizeof(Datum), MCXT_ALLOC_HUGE);
	bool *unknown = palloc_extended(all.n * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	Oid types[] = {TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4OID};
	Datum values[3];
	int n = 0;

	for (uint32 i = 0; i < all.n; i++)
	{
		const MergeGroupKey *key = &all.groups[i]->key;

		if (!is_first_of(&all, i, compare_names))
			continue;
		days[n] = TimestampTzGetDatum(BucketStart(key->bucket, LEVEL_DAY));
		names[n++] = MergerTextDatum(merger, key->event_name);
	}
	values[0] = PointerGetDatum(construct_array(days, n, TIMESTAMPTZOID, sizeof(TimestampTz),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = Int32GetDatum(fi_max_event_names);
	if (!find_unknown_names(types, values, unknown))
		return;
	(void) SpiRunWith(KEEP_NAMES, SPI_OK_INSERT, 3, types, values);
	memset(unknown, 0, n * sizeof(bool));
	if (!find_unknown_names(types, values, unknown))
		return;
	n = 0;
	for (uint32 i = 0; i < all.n; i++)
	{
		MergeGroupKey id = all.groups[i]->key;

		n += is_first_of(&all, i, compare_names);
		if (!unknown[n - 1])
			continue;
		id.event_name = MergerText(merger, "", 0);
		id.is_other_name = true;
		move_events(all.groups[i], id);
	}
}

/*
 * Join scope and key to one text, which is different for any two pairs of them
 */
static Slice
join_texts(Slice scope, Slice key)
{
	char *both =
		psprintf("%zu %.*s%.*s", scope.len, (int) scope.len, scope.data, (int) key.len, key.data);

	return (Slice){both, strlen(both)};
}

/*
 * The levels at which the bucket in which a group's keys are limited has rows
 */
static Datum
make_limit_levels(const MergeGroup *group)
{
	BucketLevel level = KeyLimitLevel(group->key.breakdown, group->key.bucket);
	/* closed hours have rows of hours, open hours have rows of minutes */
	bool has_minutes = level == LEVEL_HOUR && group->key.breakdown->finest == LEVEL_MINUTE;
	Datum levels[] = {Int16GetDatum((int16) level), Int16GetDatum(LEVEL_MINUTE)};

	return PointerGetDatum(
		construct_array(levels, has_minutes ? 2 : 1, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

/* The keys of an event_name that have rows of their own in a bucket, and the room for more. */
typedef struct
{
	const Breakdown *breakdown;
	TextMap *keys;
	TextMap *scopes;  /* room in each scope that has keys; no other scope has less than max_keys */
	int64 room;		  /* for keys of all scopes */
	int64 least_room; /* in any scope */
} KnownKeys;

/*
 * The room in a scope, which the caller may change
 */
static int64 *
find_scope_room(KnownKeys *known, Slice scope)
{
	bool found;
	TextMapEntry *entry = TextMapAdd(known->scopes, scope, &found);

	if (!found)
		entry->count = known->breakdown->max_keys;
	return &entry->count;
}

static void
add_known_key(KnownKeys *known, Slice scope, Slice key)
{
	bool found;

	(void) TextMapAdd(known->keys, join_texts(scope, key), &found);
	known->room--;
	if (scope.len > 0)
	{
		int64 *room = find_scope_room(known, scope);

		(*room)--;
		known->least_room = Min(known->least_room, *room);
	}
}

/*
 * Note that keys of a scope are counted together, or keys of all scopes (""): no key gets rows of
 * its own any more
 */
static void
note_others(KnownKeys *known, Slice scope)
{
	if (scope.len == 0)
		known->room = PG_INT64_MIN / 2;
	else
		*find_scope_room(known, scope) = PG_INT64_MIN / 2;
	known->least_room = 0;
}

/*
 * Find the keys of a group's event_name that have rows of their own in its bucket
 */
static void
find_known_keys(Merger *merger, const MergeGroup *group, KnownKeys *known)
{
	const Breakdown *breakdown = group->key.breakdown;
	TimestampTz bucket = group->limit_bucket;
	Oid types[] = {INT2OID, INT2ARRAYOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[6];

	known->breakdown = breakdown;
	known->keys = TextMapCreate(merger->memory, 64);
	known->scopes = TextMapCreate(merger->memory, 64);
	known->room = KeyLimitOfAll(breakdown);
	known->least_room = breakdown->max_keys;
	values[0] = Int16GetDatum(breakdown->id);
	values[1] = make_limit_levels(group);
	values[2] = MergerTextDatum(merger, group->key.event_name);
	values[3] = BoolGetDatum(group->key.is_other_name);
	values[4] = TimestampTzGetDatum(bucket);
	values[5] = TimestampTzGetDatum(bucket + BucketWidth(KeyLimitLevel(breakdown, bucket)));
	(void) SpiRunWith(KEYS_OF_NAME, SPI_OK_SELECT, 6, types, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *scope = SPI_getvalue(tuple, desc, 1);
		char *key = SPI_getvalue(tuple, desc, 2);
		bool isnull;

		if (DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull)))
			note_others(known, (Slice){scope, strlen(scope)});
		else
			add_known_key(known, (Slice){scope, strlen(scope)}, (Slice){key, strlen(key)});
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Does a key have rows of its own, or get them because there is room? Otherwise *others is the
 * scope in which it is counted together with others.
 */
static bool
admit_key(KnownKeys *known, Slice scope, Slice key, Slice *others)
{
	Slice both = join_texts(scope, key);
	bool is_known = TextMapHas(known->keys, both);

	pfree((char *) both.data);
	if (is_known)
		return true;
	*others = known->room <= 0 ? (Slice){"", 0} : scope;
	if (known->room <= 0 || (scope.len > 0 && *find_scope_room(known, scope) <= 0))
		return false;
	add_known_key(known, scope, key);
	return true;
}

/*
 * Limit the keys of an event_name in a bucket, of which these are the groups
 */
static void
limit_keys_of_name(Merger *merger, const GroupRun *run)
{
	KnownKeys known;
	Slice others = {"", 0};
	bool fits = false;

	find_known_keys(merger, run->groups[0], &known);
	if (run->n <= known.room && run->n <= known.least_room)
		return;
	for (uint32 i = 0; i < run->n; i++)
	{
		MergeGroupKey id = run->groups[i]->key;

		if (is_first_of(run, i, compare_keys))
			fits =
				admit_key(&known, merger->text_list[id.scope], merger->text_list[id.key], &others);
		if (fits)
			continue;
		id.scope = MergerText(merger, others.data, others.len);
		id.key = MergerText(merger, "", 0);
		id.is_other = true;
		move_events(run->groups[i], id);
	}
}

static void
limit_keys(Merger *merger)
{
	GroupRun all = sort_groups(merger, compare_keys);

	for (uint32 i = 0, end; i < all.n; i = end)
	{
		for (end = i + 1; end < all.n && !is_first_of(&all, end, compare_limits); end++)
			;
		limit_keys_of_name(merger, &(GroupRun){all.groups + i, end - i});
	}
}

void
MergerLimitKeys(Merger *merger)
{
	limit_names(merger);
	limit_keys(merger);
}
