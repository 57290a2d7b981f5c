/*
 * user_set.c
 *
 * User sets, by CRoaring.
 *
 * CRoaring allocates by malloc(), and an ERROR of PostgreSQL would leak its bitmaps. Therefore
 * a UserSet is registered with its memory context before it gets a bitmap, and nothing that
 * can fail is called while no UserSet owns a bitmap.
 *
 * Unions are lazy: they leave the cardinalities of bitsets unknown until the set is repaired.
 * Reading a set does so, too. Everything but a union needs a repaired set.
 */
#include "postgres.h"

#include "rollup/sets/user_set.h"

#include <roaring/roaring.h>

#include "fmgr.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "rollup/sets/roaring_check.h"

/*
 * Most unions between two repairs. A repair converts each container to the kind that suits it,
 * so this keeps a container of runs from growing beyond the 8 kB of a bitset.
 */
#define MAX_UNREPAIRED 16

/* A union with a bitmap of so many bytes per container, or more, converts containers to bitsets. */
#define DENSE_BYTES 512

/* Fewer users are added in the order in which they come. */
#define MIN_SORTED 256

/* Users are sorted by so many bits at a time; two digits hold four million users. */
#define DIGIT_BITS 11

struct UserSet
{
	roaring_bitmap_t *bitmap;
	int unrepaired; /* unions and readings since the last repair */
	MemoryContextCallback callback;
};

static void
free_bitmap(void *arg)
{
	UserSet *set = arg;

	if (set->bitmap != NULL)
		roaring_bitmap_free(set->bitmap);
	set->bitmap = NULL;
}

/*
 * Create a set without a bitmap. Its context will free the bitmap that it gets.
 */
static UserSet *
allocate_set(void)
{
	UserSet *set = palloc0(sizeof(UserSet));

	set->callback.func = free_bitmap;
	set->callback.arg = set;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &set->callback);
	return set;
}

static void
require_memory(const void *bitmap)
{
	if (bitmap == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A user set could not be allocated.")));
}

static void
repair_set(UserSet *set)
{
	if (set->unrepaired > 0)
		roaring_bitmap_repair_after_lazy(set->bitmap);
	set->unrepaired = 0;
}

/*
 * The bitmap of a detoasted fi_user_set, which no set owns yet. It needs a repair: the bits of
 * bitsets are counted there, and not here a first time.
 */
static roaring_bitmap_t *
read_bitmap(struct varlena *value)
{
	size_t len = VARSIZE(value) - VARHDRSZ;
	const char *wrong = RoaringCheck(VARDATA(value), len, NULL);
	roaring_bitmap_t *bitmap;

	if (wrong != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("user set is damaged"),
						errdetail_internal("%s", wrong)));
	bitmap = roaring_bitmap_portable_deserialize_safe(VARDATA(value), len);
	require_memory(bitmap);
	return bitmap;
}

UserSet *
UserSetCreate(void)
{
	UserSet *set = allocate_set();

	set->bitmap = roaring_bitmap_create();
	require_memory(set->bitmap);
	return set;
}

void
UserSetFree(UserSet *set)
{
	free_bitmap(set);
}

UserSet *
UserSetRead(struct varlena *value)
{
	UserSet *set = allocate_set();

	set->bitmap = read_bitmap(value);
	set->unrepaired = 1;
	return set;
}

void
UserSetAdd(UserSet *set, uint32 user)
{
	repair_set(set);
	roaring_bitmap_add(set->bitmap, user);
}

/*
 * Unite with a bitmap that has so many bytes. Unions with bitsets are the fastest, but bitsets
 * of sparse sets take much memory: they are made only for an operand with many bytes per
 * container.
 */
static void
unite_with(UserSet *set, const roaring_bitmap_t *other, size_t bytes)
{
	bool dense = bytes >= (size_t) other->high_low_container.size * DENSE_BYTES;

	if (set->unrepaired == MAX_UNREPAIRED)
		repair_set(set);
	roaring_bitmap_lazy_or_inplace(set->bitmap, other, dense);
	set->unrepaired++;
}

/*
 * Unite with a bitmap that no set owns, and free it or take it over
 */
static void
unite_and_free(UserSet *set, roaring_bitmap_t *other, size_t bytes)
{
	if (set->bitmap->high_low_container.size > 0)
	{
		unite_with(set, other, bytes);
		roaring_bitmap_free(other);
		return;
	}
	roaring_bitmap_free(set->bitmap);
	set->bitmap = other;
	set->unrepaired = 1;
}

void
UserSetAddMany(UserSet *set, size_t n, const uint32 *users)
{
	roaring_bitmap_t *many;

	/* adding users one by one is cheap only at the end of a container */
	many = roaring_bitmap_of_ptr(n, users);
	require_memory(many);
	unite_and_free(set, many, n * sizeof(uint16));
}

/*
 * Sort users by one of their digits into an array of the same size
 */
static void
sort_by_digit(size_t n, const uint32 *users, uint32 *sorted, int shift)
{
	size_t starts[1 << DIGIT_BITS] = {0};
	uint32 mask = lengthof(starts) - 1;
	size_t start = 0;

	for (size_t i = 0; i < n; i++)
		starts[(uint64) users[i] >> shift & mask]++;
	for (size_t i = 0; i < lengthof(starts); i++)
	{
		size_t count = starts[i];

		starts[i] = start;
		start += count;
	}
	for (size_t i = 0; i < n; i++)
		sorted[starts[(uint64) users[i] >> shift & mask]++] = users[i];
}

void
UserSetAddUnordered(UserSet *set, size_t n, uint32 *users)
{
	if (n >= MIN_SORTED)
	{
		uint32 *sorted = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(uint32));
		uint32 bits = 0;

		for (size_t i = 0; i < n; i++)
			bits |= users[i];
		for (int shift = 0; (uint64) bits >> shift != 0; shift += 2 * DIGIT_BITS)
		{
			sort_by_digit(n, users, sorted, shift);
			sort_by_digit(n, sorted, users, shift + DIGIT_BITS);
		}
		pfree(sorted);
	}
	UserSetAddMany(set, n, users);
}

void
UserSetUnion(UserSet *set, const UserSet *other)
{
	if (set != other)
		unite_with(set, other->bitmap, 0);
}

void
UserSetUnionDatum(UserSet *set, Datum value)
{
	struct varlena *detoasted = PG_DETOAST_DATUM(value);
	roaring_bitmap_t *other = read_bitmap(detoasted);

	unite_and_free(set, other, VARSIZE(detoasted) - VARHDRSZ);
	if ((Pointer) detoasted != DatumGetPointer(value))
		pfree(detoasted);
}

void
UserSetIntersect(UserSet *set, UserSet *other)
{
	repair_set(set);
	repair_set(other);
	roaring_bitmap_and_inplace(set->bitmap, other->bitmap);
}

void
UserSetSubtract(UserSet *set, UserSet *other)
{
	repair_set(set);
	repair_set(other);
	if (set == other)
		roaring_bitmap_clear(set->bitmap);
	else
		roaring_bitmap_andnot_inplace(set->bitmap, other->bitmap);
}

bool
UserSetContains(UserSet *set, uint32 user)
{
	repair_set(set);
	return roaring_bitmap_contains(set->bitmap, user);
}

bool
UserSetEquals(UserSet *set, UserSet *other)
{
	repair_set(set);
	repair_set(other);
	return roaring_bitmap_equals(set->bitmap, other->bitmap);
}

uint64
UserSetCardinality(UserSet *set)
{
	repair_set(set);
	return roaring_bitmap_get_cardinality(set->bitmap);
}

Datum
UserSetDatum(UserSet *set)
{
	size_t size;
	struct varlena *value;

	repair_set(set);
	roaring_bitmap_run_optimize(set->bitmap);
	size = VARHDRSZ + roaring_bitmap_portable_size_in_bytes(set->bitmap);
	if (!AllocSizeIsValid(size))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("user set of %zu bytes is larger than a value can be", size)));
	value = palloc(size);
	SET_VARSIZE(value, size);
	roaring_bitmap_portable_serialize(set->bitmap, VARDATA(value));
	return PointerGetDatum(value);
}

uint32 *
UserSetNumbers(UserSet *set, uint64 *n)
{
	uint32 *numbers;

	*n = UserSetCardinality(set);
	numbers = MemoryContextAllocHuge(CurrentMemoryContext, Max(*n, 1) * sizeof(uint32));
	roaring_bitmap_to_uint32_array(set->bitmap, numbers);
	return numbers;
}
