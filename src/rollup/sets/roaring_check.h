/*
 * roaring_check.h
 *
 * Reads the portable serialization of roaring bitmaps (RoaringFormatSpec)
 * where it lies, without building a bitmap. CRoaring's own reading checks no
 * more than that it stays within the bytes: what comes from outside goes through
 * RoaringCheck first.
 *
 * The bytes need no alignment. Nothing here needs a server.
 */
#ifndef FAST_INGEST_ROARING_CHECK_H
#define FAST_INGEST_ROARING_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A container holds the numbers of one value of the upper 16 bits. */
#define PORTABLE_CONTAINER_SIZE 65536

typedef enum
{
	PORTABLE_ARRAY,	 /* size sorted 16-bit numbers */
	PORTABLE_BITSET, /* 65536 bits */
	PORTABLE_RUN	 /* size pairs of first number and length - 1 */
} RoaringKind;

typedef struct
{
	RoaringKind kind;
	uint32_t base;		  /* what to add to the container's 16-bit numbers */
	uint32_t cardinality; /* as the header says */
	uint32_t size;		  /* numbers of an array, words of a bitset, runs */
	const unsigned char *data;
} RoaringContainer;

typedef struct
{
	uint32_t containers;
	uint32_t next;
	const unsigned char *start;
	const unsigned char *runs; /* one bit per container: it holds runs; NULL: none does */
	const unsigned char *keys;
	const unsigned char *offsets; /* NULL: there are none */
	const unsigned char *data;	  /* of the next container */
	const unsigned char *end;
} RoaringReader;

/*
 * What is wrong with the bytes, as a sentence; NULL if they are the well-formed
 * serialization of a bitmap and nothing else. Sets *cardinality then. With
 * cardinality NULL the bits of bitsets are not counted, which is most of the
 * work: they may be others than the header says.
 */
extern const char *RoaringCheck(const void *bytes, size_t len, uint64_t *cardinality);

/* Start reading; false if the header is damaged. */
extern bool RoaringOpen(RoaringReader *reader, const void *bytes, size_t len);

/*
 * The next container; false after the last one, and if the next one would not end
 * within the bytes. What the container holds is not checked.
 */
extern bool RoaringNext(RoaringReader *reader, RoaringContainer *container);

/*
 * Write out the numbers of a container of checked bytes, in order. There must
 * be room for its cardinality.
 */
extern void RoaringDecode(const RoaringContainer *container, uint32_t *numbers);

#endif
