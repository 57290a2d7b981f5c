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

/*
 * The beginning of the bucket in which the group's keys are limited
 */
static TimestampTz
find_limit_bucket(const MergeGroup *group)
{
	return BucketStart(group->key.bucket, KeyLimitLevel(group->key.breakdown));
}

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
		result = compare_numbers(find_limit_bucket(a), find_limit_bucket(b));
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
		if (merger->group_list[i]->events > 0)
			all.groups[all.n++] = merger->group_list[i];
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
	MergeGroup *other = MergerGroupOf(group->merger, id);

	MergeGroupEvents(other, group->events);
	for (uint32 i = 0; i < group->nusers; i++)
		MergeGroupUser(other, group->users[i]);
	group->events = 0;
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
 * The levels at which the buckets in which keys are limited have rows
 */
static Datum
make_limit_levels(const Breakdown *breakdown)
{
	/* closed hours have rows of hours, open hours have rows of minutes */
	Datum levels[] = {Int16GetDatum((int16) KeyLimitLevel(breakdown)), Int16GetDatum(LEVEL_MINUTE)};

	return PointerGetDatum(construct_array(levels, breakdown->finest == LEVEL_MINUTE ? 2 : 1,
										   INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

/*
 * The keys of a group's event_name that have rows of their own in its bucket, and whether keys
 * are counted together there
 */
static TextMap *
find_known_keys(Merger *merger, const MergeGroup *group, bool *has_others)
{
	const Breakdown *breakdown = group->key.breakdown;
	Oid types[] = {INT2OID, INT2ARRAYOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[6];
	TextMap *keys = TextMapCreate(merger->memory, 64);

	values[0] = Int16GetDatum(breakdown->id);
	values[1] = make_limit_levels(breakdown);
	values[2] = MergerTextDatum(merger, group->key.event_name);
	values[3] = BoolGetDatum(group->key.is_other_name);
	values[4] = TimestampTzGetDatum(find_limit_bucket(group));
	values[5] =
		TimestampTzGetDatum(find_limit_bucket(group) + BucketWidth(KeyLimitLevel(breakdown)));
	*has_others = false;
	(void) SpiRunWith(KEYS_OF_NAME, SPI_OK_SELECT, 6, types, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *scope = SPI_getvalue(tuple, desc, 1);
		char *key = SPI_getvalue(tuple, desc, 2);
		bool isnull;
		bool found;

		if (DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull)))
			*has_others = true;
		else
			(void) TextMapAdd(
				keys, join_texts((Slice){scope, strlen(scope)}, (Slice){key, strlen(key)}), &found);
	}
	SPI_freetuptable(SPI_tuptable);
	return keys;
}

static bool
is_known_key(Merger *merger, TextMap *keys, const MergeGroup *group)
{
	Slice both = join_texts(merger->text_list[group->key.scope], merger->text_list[group->key.key]);
	bool known = TextMapHas(keys, both);

	pfree((char *) both.data);
	return known;
}

/*
 * Limit the keys of an event_name in a bucket, of which these are the groups
 */
static void
limit_keys_of_name(Merger *merger, const GroupRun *run)
{
	bool has_others;
	TextMap *known = find_known_keys(merger, run->groups[0], &has_others);
	int64 room = has_others ? 0 : run->groups[0]->key.breakdown->max_keys - (int64) known->members;
	bool fits = false;

	if (run->n <= room)
		return;
	for (uint32 i = 0; i < run->n; i++)
	{
		MergeGroupKey id = run->groups[i]->key;

		if (is_first_of(run, i, compare_keys))
			fits = is_known_key(merger, known, run->groups[i]) || room-- > 0;
		if (fits)
			continue;
		id.scope = id.key = MergerText(merger, "", 0);
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
