/*
 * decompress.h
 *
 * Decompresses bodies: gzip, deflate, zstd. A decompressor is fed what arrives and hands on
 * the result piece by piece, so that the receiver can stop it at a limit. That is how a
 * decompression bomb is cut off.
 *
 * It is called inside libmicrohttpd: it allocates with malloc and raises no error. It needs
 * no server.
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

/* Receives a piece of the body; returns false to stop. */
typedef bool (*PieceReceiver)(void *arg, const char *data, size_t len);

typedef enum
{
	DECOMPRESS_DONE,	/* all of the input was decompressed */
	DECOMPRESS_STOPPED, /* the receiver has stopped it, or there is no memory */
	DECOMPRESS_DAMAGED	/* the input is not of that encoding */
} DecompressResult;

/* Read a Content-Encoding; false if it is none of the encodings above. */
extern bool ContentEncodingOf(const char *name, Encoding *encoding);

/* Make a decompressor for any encoding but identity; NULL if there is no memory. */
extern Decompressor *DecompressorCreate(Encoding encoding);
extern void DecompressorFree(Decompressor *decompressor);

/* Feed a decompressor. After any result but DECOMPRESS_DONE it may only be freed. */
extern DecompressResult DecompressorFeed(Decompressor *decompressor, const char *data, size_t len,
										 PieceReceiver receive, void *arg);

/* Is the body complete, as its encoding defines it? An empty body is not. */
extern bool DecompressorIsComplete(const Decompressor *decompressor);

/* The bytes of memory that it uses. */
extern size_t DecompressorSize(const Decompressor *decompressor);

#endif
