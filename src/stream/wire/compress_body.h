/*
 * compress_body.h
 *
 * Compression of a request's body, in one piece. Raises no errors and allocates nothing that
 * outlives a call. Links without a server.
 */
#ifndef FAST_INGEST_COMPRESS_BODY_H
#define FAST_INGEST_COMPRESS_BODY_H

#include <stdbool.h>
#include <stddef.h>

/* Formats of HTTP's Content-Encoding. */
typedef enum
{
	BODY_GZIP,
	BODY_ZSTD
} BodyFormat;

/* The room that so many bytes need at most when they are compressed. */
extern size_t BodyCompressBound(BodyFormat format, size_t len);

/*
 * Compress a body into room bytes at out. The same body always becomes the same bytes. Returns
 * how many they are, or 0 if the library has no memory or room is less than the bound.
 */
extern size_t BodyCompress(BodyFormat format, const char *body, size_t len, char *out, size_t room);

#endif
