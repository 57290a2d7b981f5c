/*
 * roaring_check.c
 *
 * The layout, in which everything is little-endian:
 *
 *	cookie	 uint32: 12346, then the number of containers as uint32; or, where
 *			 containers hold runs, 12347 in the lower and the number of
 *			 containers - 1 in the upper 16 bits, then a bit per container
 *	keys	 per container its upper 16 bits and its cardinality - 1, as uint16
 *	offsets	 per container where it starts, as uint32; left out where there are
 *			 runs and fewer than 4 containers
 *	containers in order: runs as uint16 count and pairs; else up to 4096 numbers
 *			 as a sorted array of uint16; else a bitset of 8 kB
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "rollup/sets/roaring_check.h"

#include "port/pg_bitutils.h"

#ifdef WORDS_BIGENDIAN
#error "roaring bitmaps are read and written little-endian"
#endif

#define COOKIE 12346
#define COOKIE_RUNS 12347
#define MIN_OFFSETS 4
#define MAX_ARRAY 4096
#define BITSET_BYTES 8192
#define BITSET_WORDS (BITSET_BYTES / sizeof(uint64_t))
#define RUN_BYTES 4

static uint16_t
read16(const unsigned char *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint32_t
read32(const unsigned char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint64_t
read64(const unsigned char *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/*
 * Step over some bytes, and return where they begin; NULL if there are fewer
 */
static const unsigned char *
take_bytes(RoaringReader *reader, size_t size)
{
	const unsigned char *start = reader->data;

	if ((size_t) (reader->end - start) < size)
		return NULL;
	reader->data += size;
	return start;
}

bool
RoaringOpen(RoaringReader *reader, const void *bytes, size_t len)
{
	const unsigned char *field;
	uint32_t cookie;

	memset(reader, 0, sizeof(*reader));
	reader->start = reader->data = bytes;
	reader->end = reader->start + len;

	if ((field = take_bytes(reader, sizeof(uint32_t))) == NULL)
		return false;
	cookie = read32(field);
	if ((cookie & 0xFFFF) == COOKIE_RUNS)
	{
		reader->containers = (cookie >> 16) + 1;
		if ((reader->runs = take_bytes(reader, (reader->containers + 7) / 8)) == NULL)
			return false;
	}
	else
	{
		if (cookie != COOKIE || (field = take_bytes(reader, sizeof(uint32_t))) == NULL)
			return false;
		reader->containers = read32(field);
		if (reader->containers > ROARING_CONTAINER_SIZE)
			return false;
	}
	if ((reader->keys = take_bytes(reader, reader->containers * 2 * sizeof(uint16_t))) == NULL)
		return false;
	if (reader->runs == NULL || reader->containers >= MIN_OFFSETS)
	{
		reader->offsets = take_bytes(reader, reader->containers * sizeof(uint32_t));
		if (reader->offsets == NULL)
			return false;
	}
	return true;
}

bool
RoaringNext(RoaringReader *reader, RoaringContainer *container)
{
	uint32_t i = reader->next;
	const unsigned char *key = reader->keys + i * 2 * sizeof(uint16_t);
	const unsigned char *field;

	if (i == reader->containers)
		return false;
	container->base = (uint32_t) read16(key) << 16;
	container->cardinality = read16(key + sizeof(uint16_t)) + 1;
	if (reader->runs != NULL && (reader->runs[i / 8] >> i % 8 & 1) != 0)
	{
		if ((field = take_bytes(reader, sizeof(uint16_t))) == NULL)
			return false;
		container->kind = ROARING_RUN;
		container->size = read16(field);
		container->data = take_bytes(reader, container->size * RUN_BYTES);
	}
	else if (container->cardinality > MAX_ARRAY)
	{
		container->kind = ROARING_BITSET;
		container->size = BITSET_WORDS;
		container->data = take_bytes(reader, BITSET_BYTES);
	}
	else
	{
		container->kind = ROARING_ARRAY;
		container->size = container->cardinality;
		container->data = take_bytes(reader, container->size * sizeof(uint16_t));
	}
	if (container->data == NULL)
		return false;
	reader->next++;
	return true;
}

/*
 * Do the numbers of an array ascend? The loop does not end early, and its index cannot wrap
 * around, so that the compiler can vectorize it.
 */
static bool
array_ascends(const RoaringContainer *container)
{
	const unsigned char *data = container->data;
	uint16_t bad = 0;

	for (size_t i = 1; i < container->size; i++)
		bad |= read16(data + 2 * (i - 1)) >= read16(data + 2 * i);
	return bad == 0;
}

/*
 * Do the runs ascend without touching each other, stay within 16 bits, and add up to the
 * cardinality?
 */
static bool
runs_fit(const RoaringContainer *container)
{
	uint32_t after = 0; /* the least number with which the next run may begin */
	uint32_t cardinality = 0;

	for (uint32_t i = 0; i < container->size; i++)
	{
		uint32_t first = read16(container->data + i * RUN_BYTES);
		uint32_t length = read16(container->data + i * RUN_BYTES + 2) + 1;

		if (first < after || first + length > ROARING_CONTAINER_SIZE)
			return false;
		after = first + length + 1;
		cardinality += length;
	}
	return cardinality == container->cardinality;
}

const char *
RoaringCheck(const void *bytes, size_t len, uint64_t *cardinality)
{
	RoaringReader reader;
	RoaringContainer container;
	int64_t last_base = -1;
	uint64_t sum = 0;

	if (!RoaringOpen(&reader, bytes, len))
		return "The header is damaged.";
	while (reader.next < reader.containers)
	{
		uint32_t i = reader.next;
		uint32_t offset = (uint32_t) (reader.data - reader.start);

		if (!RoaringNext(&reader, &container))
			return "The bytes end within a container.";
		if (reader.offsets != NULL && read32(reader.offsets + i * sizeof(uint32_t)) != offset)
			return "A container is not where the header says.";
		if (container.base <= last_base)
			return "The containers are out of order.";
		last_base = container.base;
		switch (container.kind)
		{
			case ROARING_ARRAY:
				if (!array_ascends(&container))
					return "The numbers of a container are out of order.";
				break;
			case ROARING_BITSET:
				if (cardinality != NULL && pg_popcount((const char *) container.data,
													   BITSET_BYTES) != container.cardinality)
					return "A container has another number of bits than the header says.";
				break;
			case ROARING_RUN:
				if (!runs_fit(&container))
					return "The runs of a container are out of order or have another length than the header says.";
				break;
		}
		sum += container.cardinality;
	}
	if (reader.data != reader.end)
		return "There are bytes after the last container.";
	if (cardinality != NULL)
		*cardinality = sum;
	return NULL;
}

static void
decode_array(const RoaringContainer *container, uint32_t *numbers)
{
	const unsigned char *data = container->data;
	uint32_t base = container->base;

	for (size_t i = 0; i < container->size; i++)
		numbers[i] = base | read16(data + 2 * i);
}

static void
decode_bitset(const RoaringContainer *container, uint32_t *numbers)
{
	for (uint32_t i = 0; i < container->size; i++)
	{
		uint64_t word = read64(container->data + i * sizeof(uint64_t));

		for (; word != 0; word &= word - 1)
			*numbers++ = container->base | (i * 64 + pg_rightmost_one_pos64(word));
	}
}

static void
decode_runs(const RoaringContainer *container, uint32_t *numbers)
{
	for (uint32_t i = 0; i < container->size; i++)
	{
		uint32_t first = read16(container->data + i * RUN_BYTES);
		uint32_t last = first + read16(container->data + i * RUN_BYTES + 2);

		for (uint32_t number = first; number <= last; number++)
			*numbers++ = container->base | number;
	}
}

void
RoaringDecode(const RoaringContainer *container, uint32_t *numbers)
{
	switch (container->kind)
	{
		case ROARING_ARRAY:
			decode_array(container, numbers);
			break;
		case ROARING_BITSET:
			decode_bitset(container, numbers);
			break;
		case ROARING_RUN:
			decode_runs(container, numbers);
			break;
	}
}
