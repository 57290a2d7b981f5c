/*
 * roaring_check.h
 *
 * Checks and reads the portable serialization of roaring bitmaps (RoaringFormatSpec) in place,
 * without building a bitmap. CRoaring checks only that it does not read beyond the bytes, so
 * everything that anybody may have written goes through RoaringCheck first.
 *
 * The bytes need no alignment. Nothing here allocates memory or needs a server.
 */
#ifndef FAST_INGEST_ROARING_CHECK_H
#define FAST_INGEST_ROARING_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most numbers of a container, which holds those with the same upper 16 bits. */
#define ROARING_CONTAINER_SIZE 65536

typedef enum
{
	ROARING_ARRAY,	/* size sorted 16-bit numbers */
	ROARING_BITSET, /* 65536 bits */
	ROARING_RUN		/* size pairs of first number and length - 1 */
} RoaringKind;

typedef struct
{
	RoaringKind kind;
	uint32_t base;		  /* to be added to the container's 16-bit numbers */
	uint32_t cardinality; /* as the header says */
	uint32_t size;		  /* numbers of an array, words of a bitset, runs */
	const unsigned char *data;
} RoaringContainer;

typedef struct
{
	uint32_t containers;
	uint32_t next;
	const unsigned char *start;
	const unsigned char *runs; /* a bit per container, set if it holds runs; NULL: none does */
	const unsigned char *keys;
	const unsigned char *offsets; /* NULL: there are none */
	const unsigned char *data;	  /* of the next container */
	const unsigned char *end;
} RoaringReader;

/*
 * Check bytes. Returns NULL, and sets *cardinality, if they are the well-formed serialization of
 * a bitmap and nothing else; otherwise a sentence that says what is wrong. If cardinality is
 * NULL, the bits of bitsets are not counted, which saves most of the work: a bitset may have
 * more or fewer bits than its header says.
 */
extern const char *RoaringCheck(const void *bytes, size_t len, uint64_t *cardinality);

/* Begin to read; false if the header is damaged. */
extern bool RoaringOpen(RoaringReader *reader, const void *bytes, size_t len);

/*
 * Read the next container; false after the last one, or if it would end beyond the bytes. Its
 * contents are not checked.
 */
extern bool RoaringNext(RoaringReader *reader, RoaringContainer *container);

/*
 * Write the numbers of a container in ascending order to an array with room for its
 * cardinality. The bytes must have passed RoaringCheck with a cardinality.
 */
extern void RoaringDecode(const RoaringContainer *container, uint32_t *numbers);

#endif
