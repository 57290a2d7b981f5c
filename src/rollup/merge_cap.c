/*
 * merge_cap.c
 *
 * Limits how many keys a breakdown has in a bucket, counting those that the
 * rollup has already.
 */
#include "postgres.h"

#include "rollup/merger.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "rollup/metrics.h"
#include "spi.h"

/* The keys that a bucket, from $4 to before $5, has rows for. */
#define KEYS_OF_BUCKET \
	"SELECT DISTINCT scope, key FROM fast_ingest.rollup" \
	" WHERE breakdown = $1 AND level = ANY ($2) AND event_name = $3" \
	"  AND bucket >= $4 AND bucket < $5 AND key <> '" METRICS_OTHER "'"

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

void
MergerCapKeys(Merger *merger)
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
