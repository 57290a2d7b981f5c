/*
 * decompress_fuzz.c
 *
 * Fuzzes the decompression of bodies. The first byte of an input chooses the encoding, the
 * second the size of the pieces in which the body arrives.
 *
 * For any bytes: the result does not depend on the size of the pieces; a receiver that has
 * stopped the decompressor is not called again; and the decompressor's memory stays small.
 */
#include "postgres_fe.h"

#include "http/server/decompress.h"

#define MOST_BYTES (64 * 1024) /* after which the receiver stops */
#define MOST_MEMORY (10 * 1024 * 1024)

typedef struct
{
	size_t len;
	uint64 hash;
	bool full;
} ReceivedBody;

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/*
 * Callback: count and hash a piece of the body
 */
static bool
receive_piece(void *arg, const char *data, size_t len)
{
	ReceivedBody *received = arg;

	require(!received->full && len > 0);
	for (size_t i = 0; i < len; i++)
		received->hash = (received->hash ^ (unsigned char) data[i]) * UINT64CONST(1099511628211);
	received->len += len;
	received->full = received->len > MOST_BYTES;
	return !received->full;
}

/*
 * Decompress the input in pieces. Returns whether it is a complete body of that encoding
 */
static bool
decompress(Encoding encoding, const uint8_t *data, size_t size, size_t piece,
		   ReceivedBody *received)
{
	Decompressor *decompressor = DecompressorCreate(encoding);
	DecompressResult result = DECOMPRESS_DONE;
	bool complete;

	memset(received, 0, sizeof(*received));
	require(decompressor != NULL);
	while (size > 0 && result == DECOMPRESS_DONE)
	{
		size_t len = Min(piece, size);

		result = DecompressorFeed(decompressor, (const char *) data, len, receive_piece, received);
		require(DecompressorSize(decompressor) < MOST_MEMORY);
		data += len;
		size -= len;
	}
	require(result != DECOMPRESS_STOPPED || received->full);
	complete = result == DECOMPRESS_DONE && DecompressorIsComplete(decompressor);
	DecompressorFree(decompressor);
	return complete;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ReceivedBody whole;
	ReceivedBody pieces;
	Encoding encoding;
	size_t piece;
	bool complete;

	if (size < 2)
		return 0;
	encoding = ENCODING_GZIP + data[0] % 3;
	piece = data[1] + 1;
	complete = decompress(encoding, data + 2, size - 2, size, &whole);
	require(decompress(encoding, data + 2, size - 2, piece, &pieces) == complete);
	if (complete)
		require(whole.len == pieces.len && whole.hash == pieces.hash);
	return 0;
}
