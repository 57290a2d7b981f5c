/*
 * delta_cache.c
 *
 * A delta is known by the place of its row and the transaction that inserted it. A place is used
 * again only after a vacuum, by another transaction; a table that is rewritten gets another file.
 * But a transaction that empties the table twice uses the same file from its beginning again, so
 * deltas of the transaction in progress are not kept.
 *
 * The number of a user is what fast_ingest.users has in a snapshot, of committed rows only. The
 * state of the numbers tells what of it another snapshot shows: see UserNumbersState.
 */
#include "postgres.h"

#include "rollup/delta/delta_cache.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"

/* Which row a delta is. */
typedef struct
{
	uint32 block;
	uint32 item;
	TransactionId inserted_by;
} DeltaId;

typedef struct
{
	DeltaId id;
	LoadedDelta *delta; /* NULL: could not be loaded */
	char status;
} CachedDelta;

static inline uint32
hash_id(const DeltaId *id)
{
	return hash_bytes((const unsigned char *) id, sizeof(*id));
}

#define SH_PREFIX deltas
#define SH_ELEMENT_TYPE CachedDelta
#define SH_KEY_TYPE DeltaId
#define SH_KEY id
#define SH_HASH_KEY(table, key) hash_id(&(key))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(DeltaId)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Where something is after the bytes around it were copied to another place. */
#define MOVED(pointer, distance) ((const void *) ((const char *) (pointer) + (distance)))

static MemoryContext cache_context = NULL; /* holds all below */
static struct deltas_hash *cache = NULL;
static Size cache_size;				   /* of the deltas */
static Oid cached_table;			   /* whose deltas they are, */
static Oid cached_file;				   /* and in which of its files */
static UserNumbersState numbers_state; /* which the numbers of users are from */
static uint64 scan_number = 0;		   /* of the scan in progress */
static uint32 scan_seen;			   /* deltas of the cache that it has seen */

static void
forget_all(void)
{
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext, "fast_ingest delta cache",
											  ALLOCSET_DEFAULT_SIZES);
	cache = NULL;
	MemoryContextReset(cache_context);
	cache_size = 0;
	cache = deltas_create(cache_context, 64, NULL);
}

/*
 * Forget what a state does not show: of other erased users everything, otherwise numbers that are
 * not given out there, and which users have none.
 */
static void
forget_numbers(const UserNumbersState *state)
{
	bool all = state->erased != numbers_state.erased;
	deltas_iterator iterator;
	CachedDelta *entry;

	deltas_start_iterate(cache, &iterator);
	while ((entry = deltas_iterate(cache, &iterator)) != NULL)
	{
		LoadedDelta *delta = entry->delta;

		for (uint32 i = 0; delta != NULL && i < delta->reader.header->nusers; i++)
			if (all || delta->numbers[i] >= state->given)
				delta->numbers[i] = USER_UNKNOWN;
	}
}

void
DeltaCacheBegin(Relation table, const UserNumbersState *state)
{
	if (cache == NULL || cached_table != RelationGetRelid(table) ||
		cached_file != table->rd_rel->relfilenode)
		forget_all();
	cached_table = RelationGetRelid(table);
	cached_file = table->rd_rel->relfilenode;
	if (state != NULL && memcmp(state, &numbers_state, sizeof(*state)) != 0)
	{
		forget_numbers(state);
		numbers_state = *state;
	}
	scan_number++;
	scan_seen = 0;
}

static DeltaId
find_id(TupleTableSlot *slot)
{
	bool isnull;

	return (DeltaId){
		ItemPointerGetBlockNumber(&slot->tts_tid), ItemPointerGetOffsetNumber(&slot->tts_tid),
		DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull))};
}

static TimestampTz
get_time(TupleTableSlot *slot, int column)
{
	bool isnull;

	return DatumGetTimestampTz(slot_getattr(slot, column, &isnull));
}

/*
 * Find the delta in a slot among those of the cache; NULL if it is not there
 */
static CachedDelta *
find_cached(TupleTableSlot *slot)
{
	CachedDelta *entry = deltas_lookup(cache, find_id(slot));
	LoadedDelta *delta = entry ? entry->delta : NULL;

	/* an id comes again when four billion transactions have passed without a question */
	if (delta == NULL || delta->first != get_time(slot, DELTA_COLUMN_FIRST) ||
		delta->last != get_time(slot, DELTA_COLUMN_LAST))
		return NULL;
	if (delta->scan != scan_number)
		scan_seen++;
	delta->scan = scan_number;
	return entry;
}

/*
 * Read and check a delta, and make a copy of it in a memory context
 */
static LoadedDelta *
load_delta(MemoryContext context, const struct varlena *groups)
{
	DeltaReader reader;
	DeltaSectionReader *sections;
	int nsections = 0;
	Size numbers_at;
	Size bytes_at;
	LoadedDelta *delta;
	ptrdiff_t moved;

	DeltaRead(&reader, groups);
	/* what has more sections than there are bytes for is damaged, and an error before there is no
	 * room */
	sections = palloc((Min(reader.header->nsections, VARSIZE(groups) / sizeof(DeltaSection)) + 1) *
					  sizeof(DeltaSectionReader));
	while (DeltaNextSection(&reader, &sections[nsections]))
		nsections++;

	numbers_at = sizeof(LoadedDelta) + nsections * sizeof(DeltaSectionReader);
	bytes_at = MAXALIGN(numbers_at + reader.header->nusers * sizeof(uint32));
	delta = MemoryContextAllocHuge(context, bytes_at + VARSIZE(groups));
	*delta = (LoadedDelta){.reader = reader,
						   .nsections = nsections,
						   .sections = (DeltaSectionReader *) (delta + 1),
						   .numbers = (uint32 *) ((char *) delta + numbers_at)};
	memcpy(delta->sections, sections, nsections * sizeof(DeltaSectionReader));
	memset(delta->numbers, 0xFF, reader.header->nusers * sizeof(uint32)); /* USER_UNKNOWN */
	memcpy((char *) delta + bytes_at, groups, VARSIZE(groups));
	pfree(sections);

	/* let all pointers lead into the copy */
	moved = (char *) delta + bytes_at - (const char *) groups;
	delta->reader.header = MOVED(reader.header, moved);
	delta->reader.users = MOVED(reader.users, moved);
	delta->reader.ends = MOVED(reader.ends, moved);
	delta->reader.strings = MOVED(reader.strings, moved);
	for (int i = 0; i < nsections; i++)
	{
		DeltaSectionReader *section = &delta->sections[i];

		section->groups = MOVED(section->groups, moved);
		section->refs = MOVED(section->refs, moved);
		if (section->offsets != NULL)
			section->offsets = MOVED(section->offsets, moved);
	}
	return delta;
}

/*
 * Add a delta to the cache, which has room for it
 */
static LoadedDelta *
cache_delta(TupleTableSlot *slot, const struct varlena *groups)
{
	bool found;
	CachedDelta *entry = deltas_insert(cache, find_id(slot), &found);

	if (found && entry->delta != NULL)
	{
		cache_size -= entry->delta->size;
		pfree(entry->delta);
	}
	/* should there be an error, the next question loads it again */
	entry->delta = NULL;
	entry->delta = load_delta(cache_context, groups);
	entry->delta->cached = true;
	entry->delta->size = GetMemoryChunkSpace(entry->delta);
	entry->delta->first = get_time(slot, DELTA_COLUMN_FIRST);
	entry->delta->last = get_time(slot, DELTA_COLUMN_LAST);
	entry->delta->scan = scan_number;
	cache_size += entry->delta->size;
	scan_seen++;
	return entry->delta;
}

LoadedDelta *
DeltaCacheLoad(TupleTableSlot *slot)
{
	CachedDelta *entry = find_cached(slot);
	bool isnull;
	Datum value;
	struct varlena *groups;
	LoadedDelta *delta;

	if (entry != NULL)
		return entry->delta;
	value = slot_getattr(slot, DELTA_COLUMN_GROUPS, &isnull);
	groups = PG_DETOAST_DATUM(value);
	if (cache_size + VARSIZE(groups) <= (Size) fi_delta_cache_size * 1024 &&
		!TransactionIdIsCurrentTransactionId(find_id(slot).inserted_by))
		delta = cache_delta(slot, groups);
	else
		delta = load_delta(CurrentMemoryContext, groups);
	if ((Pointer) groups != DatumGetPointer(value))
		pfree(groups);
	return delta;
}

void
DeltaCacheKeep(TupleTableSlot *slot)
{
	(void) find_cached(slot);
}

void
DeltaCacheEnd(void)
{
	deltas_iterator iterator;
	CachedDelta *entry;

	if (scan_seen == cache->members)
		return;
	deltas_start_iterate(cache, &iterator);
	while ((entry = deltas_iterate(cache, &iterator)) != NULL)
	{
		if (entry->delta != NULL && entry->delta->scan == scan_number)
			continue;
		if (entry->delta != NULL)
		{
			cache_size -= entry->delta->size;
			pfree(entry->delta);
		}
		deltas_delete_item(cache, entry);
	}
	/* the room of what was freed is used again, and returned here */
	if (cache->members == 0)
		forget_all();
}
