/*
 * roaring_check_fuzz.c
 *
 * Fuzzes the check of portable roaring bytes, and what CRoaring does with bytes that pass
 * it. An input is two values; its first two bytes are the length of the first value.
 *
 * What must hold for any bytes: bytes that pass are a bitmap that CRoaring and our own decoder
 * read as the same numbers, and that can be united, intersected, subtracted and serialized.
 * Bytes that pass without their bits being counted can be used like that after a repair.
 */
#include "postgres_fe.h"

#include <roaring/roaring.h>

#include "rollup/sets/roaring_check.h"

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/*
 * Require that a bitmap can be serialized, and that the result passes the check
 */
static void
check_written(const roaring_bitmap_t *bitmap)
{
	size_t size = roaring_bitmap_portable_size_in_bytes(bitmap);
	char *bytes = malloc(size);
	uint64_t cardinality;

	require(roaring_bitmap_portable_serialize(bitmap, bytes) == size);
	require(RoaringCheck(bytes, size, &cardinality) == NULL);
	require(cardinality == roaring_bitmap_get_cardinality(bitmap));
	free(bytes);
}

/*
 * Require that our decoder and CRoaring read the same numbers
 */
static void
check_numbers(const void *bytes, size_t size, const roaring_bitmap_t *bitmap, uint64_t cardinality)
{
	uint32_t *numbers = malloc(Max(cardinality, 1) * sizeof(uint32_t));
	uint32_t *expected = malloc(Max(cardinality, 1) * sizeof(uint32_t));
	RoaringReader reader;
	RoaringContainer container;
	uint64_t n = 0;

	require(roaring_bitmap_get_cardinality(bitmap) == cardinality);
	roaring_bitmap_to_uint32_array(bitmap, expected);
	require(RoaringOpen(&reader, bytes, size));
	while (RoaringNext(&reader, &container))
	{
		require(n + container.cardinality <= cardinality);
		RoaringDecode(&container, numbers + n);
		n += container.cardinality;
	}
	require(n == cardinality);
	require(memcmp(numbers, expected, n * sizeof(uint32_t)) == 0);
	for (uint64_t i = 1; i < n; i++)
		require(numbers[i - 1] < numbers[i]);
	free(numbers);
	free(expected);
}

/*
 * Read a bitmap as UserSetRead does; NULL if the bytes do not pass the check
 */
static roaring_bitmap_t *
read_value(const void *bytes, size_t size)
{
	uint64_t cardinality = 0;
	const char *wrong = RoaringCheck(bytes, size, &cardinality);
	roaring_bitmap_t *bitmap;

	require(wrong == NULL || strlen(wrong) > 0);
	if (RoaringCheck(bytes, size, NULL) != NULL)
	{
		require(wrong != NULL);
		return NULL;
	}
	bitmap = roaring_bitmap_portable_deserialize_safe(bytes, size);
	require(bitmap != NULL);
	require(roaring_bitmap_portable_deserialize_size(bytes, size) == size);
	if (wrong == NULL)
		check_numbers(bytes, size, bitmap, cardinality);
	return bitmap;
}

/*
 * Combine two bitmaps as user_set.c does, and require for the cardinalities that
 * |a| + |b| = |a or b| + |a and b| and |a and not b| = |a| - |a and b|
 */
static void
check_operations(roaring_bitmap_t *a, roaring_bitmap_t *b)
{
	roaring_bitmap_t *both;
	roaring_bitmap_t *dense = roaring_bitmap_copy(a);
	roaring_bitmap_t *sparse = roaring_bitmap_copy(a);
	uint64_t na, nb, nboth;

	roaring_bitmap_lazy_or_inplace(dense, b, true);
	roaring_bitmap_lazy_or_inplace(sparse, b, false);
	roaring_bitmap_lazy_or_inplace(sparse, a, false);
	roaring_bitmap_repair_after_lazy(dense);
	roaring_bitmap_repair_after_lazy(sparse);
	roaring_bitmap_repair_after_lazy(a);
	roaring_bitmap_repair_after_lazy(b);
	na = roaring_bitmap_get_cardinality(a);
	nb = roaring_bitmap_get_cardinality(b);
	both = roaring_bitmap_copy(a);
	roaring_bitmap_and_inplace(both, b);
	nboth = roaring_bitmap_get_cardinality(both);
	require(roaring_bitmap_equals(dense, sparse));
	require(roaring_bitmap_get_cardinality(dense) == na + nb - nboth);
	roaring_bitmap_run_optimize(dense);
	roaring_bitmap_run_optimize(both);
	roaring_bitmap_run_optimize(b);
	check_written(dense);
	check_written(sparse);
	check_written(both);
	check_written(b);
	roaring_bitmap_andnot_inplace(a, b);
	require(roaring_bitmap_get_cardinality(a) == na - nboth);
	check_written(a);
	roaring_bitmap_free(both);
	roaring_bitmap_free(dense);
	roaring_bitmap_free(sparse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first_size;
	char *first, *second;
	roaring_bitmap_t *a, *b;

	if (size < 2)
		return 0;
	size -= 2;
	first_size = Min((size_t) (data[0] | data[1] << 8), size);

	/* in blocks of exactly that size, so that the sanitizer sees reads beyond the end */
	first = malloc(Max(first_size, 1));
	second = malloc(Max(size - first_size, 1));
	memcpy(first, data + 2, first_size);
	memcpy(second, data + 2 + first_size, size - first_size);
	a = read_value(first, first_size);
	b = read_value(second, size - first_size);
	if (a != NULL && b != NULL)
		check_operations(a, b);
	if (a != NULL)
		roaring_bitmap_free(a);
	if (b != NULL)
		roaring_bitmap_free(b);
	free(first);
	free(second);
	return 0;
}
