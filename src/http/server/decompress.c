/*
 * decompress.c
 *
 * zlib and zstd behind one interface. A body may consist of several members (gzip) or frames
 * (zstd), whose contents follow each other.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "http/server/decompress.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define PIECE_SIZE (32 * 1024)
#define MAGIC_SIZE 4

/* A window of 8 MB, the largest one that RFC 8878 recommends decoders to support. */
#define ZSTD_WINDOW_LOG 23

/* About what inflate needs for its window and its state, according to zlib. */
#define INFLATE_SIZE (44 * 1024)

struct Decompressor
{
	Encoding encoding;
	bool begun;	   /* a byte was fed */
	bool complete; /* the last byte has ended a member or frame */
	bool is_open;  /* zlib is initialized */
	z_stream zlib;
	ZSTD_DCtx *zstd;
	char magic[MAGIC_SIZE]; /* the first bytes of a zstd frame */
	int magic_len;
	char piece[PIECE_SIZE];
};

bool
ContentEncodingOf(const char *name, Encoding *encoding)
{
	static const struct
	{
		const char *name;
		Encoding encoding;
	} names[] = {{"identity", ENCODING_IDENTITY},
				 {"gzip", ENCODING_GZIP},
				 {"x-gzip", ENCODING_GZIP},
				 {"deflate", ENCODING_DEFLATE},
				 {"zstd", ENCODING_ZSTD}};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (pg_strcasecmp(name, names[i].name) == 0)
		{
			*encoding = names[i].encoding;
			return true;
		}
	}
	return false;
}

Decompressor *
DecompressorCreate(Encoding encoding)
{
	Decompressor *decoder = malloc(sizeof(Decompressor));

	if (decoder == NULL)
		return NULL;
	memset(decoder, 0, offsetof(Decompressor, piece));
	decoder->encoding = encoding;
	if (encoding == ENCODING_ZSTD)
	{
		decoder->zstd = ZSTD_createDCtx();
		if (decoder->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(
										 decoder->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
		{
			DecompressorFree(decoder);
			return NULL;
		}
	}
	return decoder;
}

void
DecompressorFree(Decompressor *decoder)
{
	if (decoder == NULL)
		return;
	if (decoder->is_open)
		(void) inflateEnd(&decoder->zlib);
	ZSTD_freeDCtx(decoder->zstd);
	free(decoder);
}

/*
 * Begin to inflate. "deflate" means the format of zlib, but some clients send it without the
 * header. The first byte tells: no body without a header begins like one.
 */
static bool
open_zlib(Decompressor *decoder, unsigned char first)
{
	bool has_header = (first & 0x0f) == Z_DEFLATED && (first >> 4) <= 7;
	int window = decoder->encoding == ENCODING_GZIP ? 16 + MAX_WBITS
				 : has_header						? MAX_WBITS
													: -MAX_WBITS;

	decoder->is_open = inflateInit2(&decoder->zlib, window) == Z_OK;
	return decoder->is_open;
}

static DecompressResult
feed_zlib(Decompressor *decoder, const char *data, size_t len, PieceReceiver receive, void *arg)
{
	z_stream *zlib = &decoder->zlib;

	if (!decoder->is_open && !open_zlib(decoder, (unsigned char) data[0]))
		return DECOMPRESS_STOPPED;
	zlib->next_in = (Bytef *) unconstify(char *, data);
	zlib->avail_in = (uInt) len;
	do
	{
		int result;

		if (decoder->complete)
		{
			if (decoder->encoding != ENCODING_GZIP || inflateReset(zlib) != Z_OK)
				return DECOMPRESS_DAMAGED; /* more bytes follow the end */
			decoder->complete = false;
		}
		zlib->next_out = (Bytef *) decoder->piece;
		zlib->avail_out = PIECE_SIZE;
		result = inflate(zlib, Z_NO_FLUSH);
		if (result == Z_MEM_ERROR)
			return DECOMPRESS_STOPPED;
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return DECOMPRESS_DAMAGED;
		decoder->complete = result == Z_STREAM_END;
		if (zlib->avail_out < PIECE_SIZE &&
			!receive(arg, decoder->piece, PIECE_SIZE - zlib->avail_out))
			return DECOMPRESS_STOPPED;
	} while (zlib->avail_in > 0 || (zlib->avail_out == 0 && !decoder->complete));
	return DECOMPRESS_DONE;
}

/*
 * Does a frame of the current format, or a skippable frame, begin with these bytes? Debian's
 * libzstd can also read older formats, which nobody sends and few have tested.
 */
static bool
is_magic(const char *bytes)
{
	const unsigned char *b = (const unsigned char *) bytes;
	uint32 magic = (uint32) b[0] | (uint32) b[1] << 8 | (uint32) b[2] << 16 | (uint32) b[3] << 24;

	return magic == ZSTD_MAGICNUMBER ||
		   (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

/*
 * Decompress zstd up to the end of a frame
 */
static DecompressResult
feed_frame(Decompressor *decoder, ZSTD_inBuffer *in, PieceReceiver receive, void *arg)
{
	ZSTD_outBuffer out;

	do
	{
		size_t result;

		out = (ZSTD_outBuffer){decoder->piece, PIECE_SIZE, 0};
		result = ZSTD_decompressStream(decoder->zstd, &out, in);
		if (ZSTD_isError(result))
			return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? DECOMPRESS_STOPPED
																			 : DECOMPRESS_DAMAGED;
		decoder->complete = result == 0;
		if (out.pos > 0 && !receive(arg, decoder->piece, out.pos))
			return DECOMPRESS_STOPPED;
	} while (!decoder->complete && (in->pos < in->size || out.pos == out.size));
	return DECOMPRESS_DONE;
}

static DecompressResult
feed_zstd(Decompressor *decoder, const char *data, size_t len, PieceReceiver receive, void *arg)
{
	ZSTD_inBuffer in = {data, len, 0};
	DecompressResult result = DECOMPRESS_DONE;

	while (in.pos < in.size && result == DECOMPRESS_DONE)
	{
		if (decoder->complete)
		{
			decoder->complete = false;
			decoder->magic_len = 0;
		}
		while (decoder->magic_len < MAGIC_SIZE && in.pos < in.size)
		{
			decoder->magic[decoder->magic_len++] = data[in.pos++];
			if (decoder->magic_len == MAGIC_SIZE)
			{
				ZSTD_inBuffer magic = {decoder->magic, MAGIC_SIZE, 0};

				if (!is_magic(decoder->magic))
					return DECOMPRESS_DAMAGED;
				result = feed_frame(decoder, &magic, receive, arg);
			}
		}
		if (result == DECOMPRESS_DONE && in.pos < in.size)
			result = feed_frame(decoder, &in, receive, arg);
	}
	return result;
}

DecompressResult
DecompressorFeed(Decompressor *decoder, const char *data, size_t len, PieceReceiver receive,
				 void *arg)
{
	if (len == 0)
		return DECOMPRESS_DONE;
	decoder->begun = true;
	return decoder->encoding == ENCODING_ZSTD ? feed_zstd(decoder, data, len, receive, arg)
											  : feed_zlib(decoder, data, len, receive, arg);
}

bool
DecompressorIsComplete(const Decompressor *decoder)
{
	return decoder->begun && decoder->complete;
}

size_t
DecompressorSize(const Decompressor *decoder)
{
	return sizeof(Decompressor) +
		   (decoder->encoding == ENCODING_ZSTD ? ZSTD_sizeof_DCtx(decoder->zstd) : INFLATE_SIZE);
}
