/*
 * compress_body.c
 *
 * The lowest levels of both formats: rows of JSON shrink to a tenth by them, and a higher
 * level costs several times the CPU for a few percent.
 */
#include "stream/wire/compress_body.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define GZIP_LEVEL 1
#define ZSTD_LEVEL 1
#define GZIP_WINDOW_BITS (15 + 16) /* 16: with the header and the checksum of gzip */
#define GZIP_MEMORY_LEVEL 8		   /* zlib's own default */
#define GZIP_OVERHEAD 64		   /* more than the header and the checksum of gzip take */

size_t
BodyCompressBound(BodyFormat format, size_t len)
{
	if (format == BODY_ZSTD)
		return ZSTD_compressBound(len);
	return compressBound(len) + GZIP_OVERHEAD;
}

static size_t
compress_gzip(const char *body, size_t len, char *out, size_t room)
{
	z_stream stream;
	size_t written = 0;

	memset(&stream, 0, sizeof(stream));
	if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	stream.next_in = (Bytef *) body;
	stream.avail_in = (uInt) len;
	stream.next_out = (Bytef *) out;
	stream.avail_out = (uInt) room;
	if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
		written = stream.total_out;
	deflateEnd(&stream);
	return written;
}

size_t
BodyCompress(BodyFormat format, const char *body, size_t len, char *out, size_t room)
{
	size_t written;

	if (format == BODY_GZIP)
		return compress_gzip(body, len, out, room);
	written = ZSTD_compress(out, room, body, len, ZSTD_LEVEL);
	return ZSTD_isError(written) ? 0 : written;
}
