/*
 * spool.c
 *
 * The first rows are in memory, in chunks. When these are full, further rows go into temporary
 * files, one behind the other, until the last of them has been read and deleted. Rows are
 * taken from memory first, so they stay in order.
 *
 * A file is left to the file system as soon as it has been read, so a spool that never becomes
 * empty does not grow for ever.
 *
 * The header of the oldest row is always in memory (next), so it can be looked at without
 * reading.
 */
#include "postgres.h"

#include "stream/decode/spool.h"

#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/compat.h"

#define MEMORY_LIMIT (16 * 1024 * 1024) /* of chunks */
#define CHUNK_SIZE (512 * 1024)
#define FILE_LIMIT (64 * 1024 * 1024) /* a row behind it begins another file */
#define ARENA_SIZE (256 * 1024)		  /* for lines of a batch */
#define FIRST_ROWS 256				  /* of a batch */

/* What is stored before a line. */
typedef struct
{
	uint64 lsn;
	uint64 n;
	uint64 end_lsn;
	TimestampTz committed;
	uint32 len;
} RowHeader;

typedef struct Chunk
{
	struct Chunk *behind;
	size_t size;
	size_t written;
	size_t taken;
	char data[FLEXIBLE_ARRAY_MEMBER];
} Chunk;

typedef struct
{
	int fileno;
	off_t offset;
} FilePlace;

typedef struct SpoolFile
{
	struct SpoolFile *behind;
	BufFile *file;
	int64 written;
	int64 taken;
	bool reading; /* the file stands at read, else behind what was written */
	FilePlace read;
	FilePlace write;
} SpoolFile;

struct Spool
{
	MemoryContext context;
	ResourceOwner owner; /* of the files; outlives the transactions that append */
	Chunk *first_chunk;
	Chunk *last_chunk;
	size_t memory; /* of all chunks */
	SpoolFile *first_file;
	SpoolFile *last_file;
	int64 file_bytes;
	int64 rows;
	int64 bytes;
	RowHeader next; /* of the oldest row, if there is one */
	uint64 whole_lsn;
};

Spool *
SpoolCreate(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest spool", ALLOCSET_DEFAULT_SIZES);
	Spool *spool = MemoryContextAllocZero(context, sizeof(Spool));

	spool->context = context;
	spool->owner = ResourceOwnerCreate(NULL, "fast_ingest spool");
	return spool;
}

static void
drop_first_chunk(Spool *spool)
{
	Chunk *chunk = spool->first_chunk;

	spool->first_chunk = chunk->behind;
	if (spool->first_chunk == NULL)
		spool->last_chunk = NULL;
	spool->memory -= chunk->size;
	pfree(chunk);
}

static void
drop_first_file(Spool *spool)
{
	SpoolFile *file = spool->first_file;

	spool->first_file = file->behind;
	if (spool->first_file == NULL)
		spool->last_file = NULL;
	spool->file_bytes -= file->written;
	BufFileClose(file->file);
	pfree(file);
}

void
SpoolReset(Spool *spool)
{
	while (spool->first_chunk != NULL)
		drop_first_chunk(spool);
	while (spool->first_file != NULL)
		drop_first_file(spool);
	spool->rows = 0;
	spool->bytes = 0;
	spool->whole_lsn = 0;
}

static void
add_chunk(Spool *spool, size_t needed)
{
	size_t size = Max(needed, CHUNK_SIZE);
	Chunk *chunk = MemoryContextAllocHuge(spool->context, offsetof(Chunk, data) + size);

	chunk->behind = NULL;
	chunk->size = size;
	chunk->written = 0;
	chunk->taken = 0;
	if (spool->last_chunk != NULL)
		spool->last_chunk->behind = chunk;
	else
		spool->first_chunk = chunk;
	spool->last_chunk = chunk;
	spool->memory += size;
}

/*
 * Rows are appended in transactions that are always aborted, so the file must not belong to
 * one. The worker has no temp_tablespaces, so no catalog is read.
 */
static void
add_file(Spool *spool)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext caller = MemoryContextSwitchTo(spool->context);
	SpoolFile *file = palloc0(sizeof(SpoolFile));

	CurrentResourceOwner = spool->owner;
	file->file = BufFileCreateTemp(true);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(caller);
	if (spool->last_file != NULL)
		spool->last_file->behind = file;
	else
		spool->first_file = file;
	spool->last_file = file;
}

/*
 * Move a file to where it is read, or behind what was written
 */
static void
turn_file(SpoolFile *file, bool to_reading)
{
	FilePlace *from = file->reading ? &file->read : &file->write;
	FilePlace *to = to_reading ? &file->read : &file->write;

	if (file->reading == to_reading)
		return;
	BufFileTell(file->file, &from->fileno, &from->offset);
	if (BufFileSeek(file->file, to->fileno, to->offset, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not seek in a temporary file of a stream: %m")));
	file->reading = to_reading;
}

static void
append_to_file(Spool *spool, const RowHeader *header, const char *line)
{
	SpoolFile *file;

	if (spool->last_file == NULL || spool->last_file->written > FILE_LIMIT)
		add_file(spool);
	file = spool->last_file;
	turn_file(file, false);
	BufFileWrite(file->file, unconstify(RowHeader *, header), sizeof(*header));
	BufFileWrite(file->file, unconstify(char *, line), header->len);
	file->written += sizeof(*header) + header->len;
	spool->file_bytes += sizeof(*header) + header->len;
}

static void
append_to_memory(Spool *spool, const RowHeader *header, const char *line)
{
	size_t size = sizeof(*header) + header->len;
	Chunk *chunk;

	if (spool->last_chunk == NULL || spool->last_chunk->size - spool->last_chunk->written < size)
		add_chunk(spool, size);
	chunk = spool->last_chunk;
	memcpy(chunk->data + chunk->written, header, sizeof(*header));
	memcpy(chunk->data + chunk->written + sizeof(*header), line, header->len);
	chunk->written += size;
}

/*
 * Does a row go into memory? Not if others are in a file already, which came before it.
 */
static bool
has_memory(const Spool *spool, size_t size)
{
	const Chunk *chunk = spool->last_chunk;

	if (spool->first_file != NULL)
		return false;
	if (chunk != NULL && chunk->size - chunk->written >= size)
		return true;
	return spool->memory + Max(size, CHUNK_SIZE) <= MEMORY_LIMIT;
}

void
SpoolAppend(Spool *spool, uint64 lsn, uint64 n, uint64 end_lsn, TimestampTz committed,
			const char *line, uint32 len)
{
	RowHeader header;

	/* the padding goes into the file, too */
	memset(&header, 0, sizeof(header));
	header.lsn = lsn;
	header.n = n;
	header.end_lsn = end_lsn;
	header.committed = committed;
	header.len = len;
	if (has_memory(spool, sizeof(header) + len))
		append_to_memory(spool, &header, line);
	else
		append_to_file(spool, &header, line);
	if (spool->rows == 0)
	{
		spool->next = header;
		/* its header counts as taken */
		if (spool->first_chunk != NULL)
			spool->first_chunk->taken += sizeof(header);
		else
		{
			turn_file(spool->first_file, true);
			if (BufFileSeek(spool->first_file->file, 0, sizeof(header), SEEK_SET) != 0)
				ereport(ERROR, (errcode_for_file_access(),
								errmsg("could not seek in a temporary file of a stream: %m")));
			spool->first_file->taken += sizeof(header);
		}
	}
	spool->rows++;
	spool->bytes += len;
}

int64
SpoolRows(const Spool *spool)
{
	return spool->rows;
}

int64
SpoolBytes(const Spool *spool)
{
	return spool->bytes;
}

int64
SpoolFileBytes(const Spool *spool)
{
	return spool->file_bytes;
}

TimestampTz
SpoolOldest(const Spool *spool)
{
	return spool->rows > 0 ? spool->next.committed : 0;
}

/*
 * Read the next bytes of the spool
 */
static void
read_bytes(Spool *spool, void *to, size_t size)
{
	Chunk *chunk = spool->first_chunk;

	if (chunk != NULL)
	{
		memcpy(to, chunk->data + chunk->taken, size);
		chunk->taken += size;
	}
	else
	{
		SpoolFile *file = spool->first_file;

		turn_file(file, true);
		if (BufFileRead(file->file, to, size) != size)
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not read from a temporary file of a stream: %m")));
		file->taken += size;
	}
}

/*
 * Give back what has been read. Beside the last row a chunk may still be filled.
 */
static void
drop_taken(Spool *spool)
{
	if (spool->first_chunk != NULL && spool->first_chunk->taken == spool->first_chunk->written)
		drop_first_chunk(spool);
	if (spool->first_chunk == NULL && spool->first_file != NULL &&
		spool->first_file->taken == spool->first_file->written)
		drop_first_file(spool);
}

/* A batch that is being filled. */
typedef struct
{
	SpoolBatch *batch;
	int room; /* in batch->rows */
	char *arena;
	size_t arena_left;
} BatchFill;

static void
begin_batch(BatchFill *fill, SpoolBatch *batch)
{
	memset(fill, 0, sizeof(*fill));
	memset(batch, 0, sizeof(*batch));
	fill->batch = batch;
	fill->room = FIRST_ROWS;
	batch->rows = palloc(fill->room * sizeof(SinkRow));
}

static char *
allocate_line(BatchFill *fill, size_t len)
{
	char *line;

	if (fill->arena_left < len || fill->arena == NULL)
	{
		fill->arena_left = Max(len, ARENA_SIZE);
		fill->arena = MemoryContextAllocHuge(CurrentMemoryContext, fill->arena_left);
	}
	line = fill->arena;
	fill->arena += len;
	fill->arena_left -= len;
	return line;
}

/*
 * Move the oldest row into a batch
 */
static void
take_row(Spool *spool, BatchFill *fill)
{
	SpoolBatch *batch = fill->batch;
	RowHeader header = spool->next;
	char *line = allocate_line(fill, header.len);

	if (batch->nrows == fill->room)
	{
		fill->room *= 2;
		batch->rows = repalloc_huge(batch->rows, fill->room * sizeof(SinkRow));
	}
	read_bytes(spool, line, header.len);
	drop_taken(spool);
	spool->rows--;
	spool->bytes -= header.len;
	if (spool->rows > 0)
		read_bytes(spool, &spool->next, sizeof(spool->next));
	if (spool->rows == 0 || spool->next.lsn != header.lsn)
		spool->whole_lsn = header.end_lsn;

	if (batch->nrows == 0)
		batch->first_committed = header.committed;
	batch->rows[batch->nrows++] =
		(SinkRow){.line = line, .len = header.len, .lsn = header.lsn, .n = header.n};
	batch->bytes += header.len;
}

void
SpoolTake(Spool *spool, int max_rows, size_t max_bytes, SpoolBatch *batch)
{
	BatchFill fill;

	begin_batch(&fill, batch);
	while (spool->rows > 0 && batch->nrows < max_rows &&
		   (batch->nrows == 0 || batch->bytes + spool->next.len <= max_bytes))
		take_row(spool, &fill);
	batch->whole_lsn = spool->whole_lsn;
}

void
SpoolTakeUpTo(Spool *spool, uint64 lsn, uint64 n, SpoolBatch *batch)
{
	BatchFill fill;

	begin_batch(&fill, batch);
	while (spool->rows > 0 &&
		   (spool->next.lsn < lsn || (spool->next.lsn == lsn && spool->next.n <= n)))
		take_row(spool, &fill);
	batch->whole_lsn = spool->whole_lsn;
}
