/*
 * compress_body_test.c
 *
 * Bodies compressed and decompressed again: small, large, incompressible, and cut off.
 */
#include "stream/wire/compress_body.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "tap.h"

/*
 * Decompress into room bytes. Returns their number, or -1 if the input does not end well.
 */
static long
decompress(BodyFormat format, const char *in, size_t len, char *out, size_t room)
{
	z_stream stream = {0};
	int result;

	if (format == BODY_ZSTD)
	{
		size_t written = ZSTD_decompress(out, room, in, len);

		return ZSTD_isError(written) ? -1 : (long) written;
	}
	stream.next_in = (Bytef *) in;
	stream.avail_in = len;
	stream.next_out = (Bytef *) out;
	stream.avail_out = room;
	inflateInit2(&stream, 15 + 16);
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return result == Z_STREAM_END ? (long) stream.total_out : -1;
}

static void
test_body(BodyFormat format, const char *name, const char *body, size_t len)
{
	size_t room = BodyCompressBound(format, len);
	char *packed = malloc(room);
	char *again = malloc(room);
	char *out = malloc(len + 1);
	size_t packed_len = BodyCompress(format, body, len, packed, room);

	ok(packed_len > 0 && decompress(format, packed, packed_len, out, len + 1) == (long) len &&
		   memcmp(out, body, len) == 0,
	   "%s of %zu bytes comes back", name, len);
	ok(BodyCompress(format, body, len, again, room) == packed_len &&
		   memcmp(packed, again, packed_len) == 0,
	   "%s of %zu bytes is the same when it is compressed again", name, len);
	ok(decompress(format, packed, packed_len - 1, out, len + 1) == -1,
	   "%s of %zu bytes without its last byte is no body", name, len);
	ok(BodyCompress(format, body, len, packed, packed_len - 1) == 0,
	   "%s of %zu bytes does not fit into less than it needs", name, len);
	free(packed);
	free(again);
	free(out);
}

int
main(void)
{
	static const BodyFormat formats[] = {BODY_GZIP, BODY_ZSTD};
	static const char *const names[] = {"gzip", "zstd"};
	size_t len = 9 * 1000 * 1000;
	char *body = malloc(len);
	unsigned int seed = 1;

	for (int i = 0; i < 2; i++)
	{
		memset(body, 'x', len);
		test_body(formats[i], names[i], body, 1);
		test_body(formats[i], names[i], body, len);
		for (size_t at = 0; at < len; at++)
			body[at] = (char) ((seed = seed * 1103515245 + 12345) >> 16);
		test_body(formats[i], names[i], body, 1000);
		test_body(formats[i], names[i], body, len);
	}
	free(body);
	return tap_done();
}
