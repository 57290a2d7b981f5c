/*
 * decompress_fuzz.c
 *
 * Fuzzes compressed bodies. The first byte of an input chooses the encoding, the
 * second how large the pieces are that it arrives in.
 *
 * What must hold for any bytes: however they are cut into pieces, they stand for
 * the same, or are damaged; a taker that wants no more is not called again; and
 * the decoder's memory stays small.
 */
#include "postgres_fe.h"

#include "http/server/decompress.h"

#define MOST_BYTES (64 * 1024)
#define MOST_MEMORY (10 * 1024 * 1024)

typedef struct
{
	size_t len;
	uint64 hash;
	bool full;
} Taken;

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static bool
take(void *arg, const char *data, size_t len)
{
	Taken *taken = arg;

	require(!taken->full && len > 0);
	for (size_t i = 0; i < len; i++)
		taken->hash = (taken->hash ^ (unsigned char) data[i]) * UINT64CONST(1099511628211);
	taken->len += len;
	taken->full = taken->len > MOST_BYTES;
	return !taken->full;
}

/*
 * Decode the input in pieces; is it a whole body of that encoding?
 */
static bool
decode(Encoding encoding, const uint8_t *data, size_t size, size_t piece, Taken *taken)
{
	Decompressor *decoder = DecompressorCreate(encoding);
	DecompressResult result = DECODE_DONE;
	bool complete;

	memset(taken, 0, sizeof(*taken));
	require(decoder != NULL);
	while (size > 0 && result == DECODE_DONE)
	{
		size_t len = Min(piece, size);

		result = DecompressorFeed(decoder, (const char *) data, len, take, taken);
		require(DecompressorSize(decoder) < MOST_MEMORY);
		data += len;
		size -= len;
	}
	require(result != DECODE_STOPPED || taken->full);
	complete = result == DECODE_DONE && DecompressorIsComplete(decoder);
	DecompressorFree(decoder);
	return complete;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Taken whole;
	Taken pieces;
	Encoding encoding;
	size_t piece;
	bool complete;

	if (size < 2)
		return 0;
	encoding = ENCODING_GZIP + data[0] % 3;
	piece = data[1] + 1;
	complete = decode(encoding, data + 2, size - 2, size, &whole);
	require(decode(encoding, data + 2, size - 2, piece, &pieces) == complete);
	if (complete)
		require(whole.len == pieces.len && whole.hash == pieces.hash);
	return 0;
}
