/*
 * decompress.h
 *
 * Bodies that come compressed: gzip, deflate, zstd. A decoder is fed what arrives
 * and hands on what it stands for, piece by piece, so that whoever takes it stops
 * it at a limit, however small a bomb is.
 *
 * Called inside libmicrohttpd: it allocates by malloc and raises no error. Needs no
 * server.
 */
#ifndef FAST_INGEST_DECOMPRESS_H
#define FAST_INGEST_DECOMPRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum
{
	ENCODING_IDENTITY,
	ENCODING_GZIP,
	ENCODING_DEFLATE,
	ENCODING_ZSTD
} Encoding;

typedef struct Decompressor Decompressor;

/* Takes a piece of the body; false to have no more of it. */
typedef bool (*DecodeTaker)(void *arg, const char *data, size_t len);

typedef enum
{
	DECODE_DONE,	/* all of the input is handed on */
	DECODE_STOPPED, /* the taker wants no more, or there is no memory */
	DECODE_DAMAGED	/* the input is not of that encoding */
} DecompressResult;

/* The encoding that a Content-Encoding names; false if it is none of these. */
extern bool ContentEncodingOf(const char *name, Encoding *encoding);

/* A decoder of any encoding but identity; NULL without memory. */
extern Decompressor *DecompressorCreate(Encoding encoding);
extern void DecompressorFree(Decompressor *decoder);

/* Feed it. After any other result than DECODE_DONE it is good for nothing but to be freed. */
extern DecompressResult DecompressorFeed(Decompressor *decoder, const char *data, size_t len,
										 DecodeTaker take, void *arg);

/* Has all of the body come, as its encoding says? Of an empty one nothing has. */
extern bool DecompressorIsComplete(const Decompressor *decoder);

/* Bytes of memory it uses. */
extern size_t DecompressorSize(const Decompressor *decoder);

#endif
