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
	Decompressor *decompressor = malloc(sizeof(Decompressor));

	if (decompressor == NULL)
		return NULL;
	memset(decompressor, 0, offsetof(Decompressor, piece));
	decompressor->encoding = encoding;
	if (encoding == ENCODING_ZSTD)
	{
		decompressor->zstd = ZSTD_createDCtx();
		if (decompressor->zstd == NULL ||
			ZSTD_isError(
				ZSTD_DCtx_setParameter(decompressor->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
		{
			DecompressorFree(decompressor);
			return NULL;
		}
	}
	return decompressor;
}

void
DecompressorFree(Decompressor *decompressor)
{
	if (decompressor == NULL)
		return;
	if (decompressor->is_open)
		(void) inflateEnd(&decompressor->zlib);
	ZSTD_freeDCtx(decompressor->zstd);
	free(decompressor);
}

/*
 * Begin to inflate. "deflate" means the format of zlib, but some clients send it without the
 * header. The first byte tells: no body without a header begins like one.
 */
static bool
open_zlib(Decompressor *decompressor, unsigned char first)
{
	bool has_header = (first & 0x0f) == Z_DEFLATED && (first >> 4) <= 7;
	int window = decompressor->encoding == ENCODING_GZIP ? 16 + MAX_WBITS
				 : has_header							 ? MAX_WBITS
														 : -MAX_WBITS;

	decompressor->is_open = inflateInit2(&decompressor->zlib, window) == Z_OK;
	return decompressor->is_open;
}

static DecompressResult
feed_zlib(Decompressor *decompressor, const char *data, size_t len, PieceReceiver receive,
		  void *arg)
{
	z_stream *zlib = &decompressor->zlib;

	if (!decompressor->is_open && !open_zlib(decompressor, (unsigned char) data[0]))
		return DECOMPRESS_STOPPED;
	zlib->next_in = (Bytef *) unconstify(char *, data);
	zlib->avail_in = (uInt) len;
	do
	{
		int result;

		if (decompressor->complete)
		{
			if (decompressor->encoding != ENCODING_GZIP || inflateReset(zlib) != Z_OK)
				return DECOMPRESS_DAMAGED; /* more bytes follow the end */
			decompressor->complete = false;
		}
		zlib->next_out = (Bytef *) decompressor->piece;
		zlib->avail_out = PIECE_SIZE;
		result = inflate(zlib, Z_NO_FLUSH);
		if (result == Z_MEM_ERROR)
			return DECOMPRESS_STOPPED;
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return DECOMPRESS_DAMAGED;
		decompressor->complete = result == Z_STREAM_END;
		if (zlib->avail_out < PIECE_SIZE &&
			!receive(arg, decompressor->piece, PIECE_SIZE - zlib->avail_out))
			return DECOMPRESS_STOPPED;
	} while (zlib->avail_in > 0 || (zlib->avail_out == 0 && !decompressor->complete));
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
feed_frame(Decompressor *decompressor, ZSTD_inBuffer *in, PieceReceiver receive, void *arg)
{
	ZSTD_outBuffer out;

	do
	{
		size_t result;

		out = (ZSTD_outBuffer){decompressor->piece, PIECE_SIZE, 0};
		result = ZSTD_decompressStream(decompressor->zstd, &out, in);
		if (ZSTD_isError(result))
			return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? DECOMPRESS_STOPPED
																			 : DECOMPRESS_DAMAGED;
		decompressor->complete = result == 0;
		if (out.pos > 0 && !receive(arg, decompressor->piece, out.pos))
			return DECOMPRESS_STOPPED;
	} while (!decompressor->complete && (in->pos < in->size || out.pos == out.size));
	return DECOMPRESS_DONE;
}

static DecompressResult
feed_zstd(Decompressor *decompressor, const char *data, size_t len, PieceReceiver receive,
		  void *arg)
{
	ZSTD_inBuffer in = {data, len, 0};
	DecompressResult result = DECOMPRESS_DONE;

	while (in.pos < in.size && result == DECOMPRESS_DONE)
	{
		if (decompressor->complete)
		{
			decompressor->complete = false;
			decompressor->magic_len = 0;
		}
		while (decompressor->magic_len < MAGIC_SIZE && in.pos < in.size)
		{
			decompressor->magic[decompressor->magic_len++] = data[in.pos++];
			if (decompressor->magic_len == MAGIC_SIZE)
			{
				ZSTD_inBuffer magic = {decompressor->magic, MAGIC_SIZE, 0};

				if (!is_magic(decompressor->magic))
					return DECOMPRESS_DAMAGED;
				result = feed_frame(decompressor, &magic, receive, arg);
			}
		}
		if (result == DECOMPRESS_DONE && in.pos < in.size)
			result = feed_frame(decompressor, &in, receive, arg);
	}
	return result;
}

DecompressResult
DecompressorFeed(Decompressor *decompressor, const char *data, size_t len, PieceReceiver receive,
				 void *arg)
{
	if (len == 0)
		return DECOMPRESS_DONE;
	decompressor->begun = true;
	return decompressor->encoding == ENCODING_ZSTD
			   ? feed_zstd(decompressor, data, len, receive, arg)
			   : feed_zlib(decompressor, data, len, receive, arg);
}

bool
DecompressorIsComplete(const Decompressor *decompressor)
{
	return decompressor->begun && decompressor->complete;
}

size_t
DecompressorSize(const Decompressor *decompressor)
{
	return sizeof(Decompressor) + (decompressor->encoding == ENCODING_ZSTD
									   ? ZSTD_sizeof_DCtx(decompressor->zstd)
									   : INFLATE_SIZE);
}
