/*
 * user_set.c
 *
 * User sets on CRoaring.
 *
 * CRoaring allocates with malloc and knows no ERROR. A UserSet is therefore
 * registered with its memory context before it has a bitmap, and a bitmap that
 * no UserSet owns lives only between two calls of CRoaring.
 *
 * Unions are lazy: they leave the cardinalities of bitsets unknown until the set
 * is repaired, and so does reading. Everything but a union wants it repaired.
 */
#include "postgres.h"

#include "rollup/sets/user_set.h"

#include <roaring/roaring.h>

#include "fmgr.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "rollup/sets/roaring_check.h"

/*
 * A repair turns containers into what suits their contents. So many unions
 * without one keep a container of runs from growing beyond a bitset's 8 kB.
 */
#define MAX_UNREPAIRED 16

/* From so many bytes per container on, containers united into become bitsets. */
#define DENSE_BYTES 512

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
 * A set that has no bitmap yet and whose context will free the one it gets
 */
static UserSet *
allocate(void)
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
repair(UserSet *set)
{
	if (set->unrepaired > 0)
		roaring_bitmap_repair_after_lazy(set->bitmap);
	set->unrepaired = 0;
}

/*
 * The bitmap of a detoasted fi_user_set, which nobody owns yet. It wants a repair:
 * bits are counted there, and not twice
 */
static roaring_bitmap_t *
deserialize(struct varlena *value)
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
	UserSet *set = allocate();

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
	UserSet *set = allocate();

	set->bitmap = deserialize(value);
	set->unrepaired = 1;
	return set;
}

void
UserSetAdd(UserSet *set, uint32 user)
{
	repair(set);
	roaring_bitmap_add(set->bitmap, user);
}

/*
 * Bitsets make the fastest unions, and of sparse sets the largest ones: only
 * an operand with many bytes to a container is worth them
 */
static void
unite(UserSet *set, const roaring_bitmap_t *other, size_t bytes)
{
	bool dense = bytes >= (size_t) other->high_low_container.size * DENSE_BYTES;

	if (set->unrepaired == MAX_UNREPAIRED)
		repair(set);
	roaring_bitmap_lazy_or_inplace(set->bitmap, other, dense);
	set->unrepaired++;
}

/*
 * Unite with a bitmap that nobody owns, and that nobody can use any more
 */
static void
unite_and_free(UserSet *set, roaring_bitmap_t *other, size_t bytes)
{
	if (set->bitmap->high_low_container.size > 0)
	{
		unite(set, other, bytes);
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

	/* the end of a container is the only cheap place to add to */
	many = roaring_bitmap_of_ptr(n, users);
	require_memory(many);
	unite_and_free(set, many, n * sizeof(uint16));
}

void
UserSetUnion(UserSet *set, const UserSet *other)
{
	if (set != other)
		unite(set, other->bitmap, 0);
}

void
UserSetUnionDatum(UserSet *set, Datum value)
{
	struct varlena *detoasted = PG_DETOAST_DATUM(value);
	roaring_bitmap_t *other = deserialize(detoasted);

	unite_and_free(set, other, VARSIZE(detoasted) - VARHDRSZ);
	if ((Pointer) detoasted != DatumGetPointer(value))
		pfree(detoasted);
}

void
UserSetIntersect(UserSet *set, UserSet *other)
{
	repair(set);
	repair(other);
	roaring_bitmap_and_inplace(set->bitmap, other->bitmap);
}

void
UserSetSubtract(UserSet *set, UserSet *other)
{
	repair(set);
	repair(other);
	if (set == other)
		roaring_bitmap_clear(set->bitmap);
	else
		roaring_bitmap_andnot_inplace(set->bitmap, other->bitmap);
}

bool
UserSetContains(UserSet *set, uint32 user)
{
	repair(set);
	return roaring_bitmap_contains(set->bitmap, user);
}

bool
UserSetEquals(UserSet *set, UserSet *other)
{
	repair(set);
	repair(other);
	return roaring_bitmap_equals(set->bitmap, other->bitmap);
}

uint64
UserSetCardinality(UserSet *set)
{
	repair(set);
	return roaring_bitmap_get_cardinality(set->bitmap);
}

Datum
UserSetDatum(UserSet *set)
{
	size_t size;
	struct varlena *value;

	repair(set);
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
