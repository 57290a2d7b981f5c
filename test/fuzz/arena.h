/*
 * arena.h
 *
 * palloc for fuzz targets: a server would free it with a memory context. It
 * takes the place of libpgcommon's own, which never frees.
 */
#ifndef FAST_INGEST_ARENA_H
#define FAST_INGEST_ARENA_H

#include "common/fe_memutils.h"

typedef struct ArenaBlock
{
	struct ArenaBlock *next;
	struct ArenaBlock *previous;
	size_t size;
	size_t padding;
} ArenaBlock;

static ArenaBlock arena = {&arena, &arena, 0, 0};

static void
unlink_block(ArenaBlock *block)
{
	block->previous->next = block->next;
	block->next->previous = block->previous;
}

void *
palloc(Size size)
{
	ArenaBlock *block = malloc(sizeof(ArenaBlock) + size);

	if (block == NULL)
		abort();
	block->size = size;
	block->next = arena.next;
	block->previous = &arena;
	arena.next->previous = block;
	arena.next = block;
	return block + 1;
}

void
pfree(void *pointer)
{
	ArenaBlock *block = (ArenaBlock *) pointer - 1;

	unlink_block(block);
	free(block);
}

/* Free all that was allocated. */
static void
arena_reset(void)
{
	while (arena.next != &arena)
		pfree(arena.next + 1);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
palloc_extended(Size size, int flags)
{
	return flags & MCXT_ALLOC_ZERO ? palloc0(size) : palloc(size);
}

void *
repalloc(void *pointer, Size size)
{
	size_t old_size = ((ArenaBlock *) pointer - 1)->size;
	void *copy = palloc(size);

	memcpy(copy, pointer, Min(old_size, size));
	pfree(pointer);
	return copy;
}

char *
pnstrdup(const char *in, Size size)
{
	size_t len = strnlen(in, size);
	char *copy = palloc(len + 1);

	memcpy(copy, in, len);
	copy[len] = '\0';
	return copy;
}

char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

void *
pg_malloc(size_t size)
{
	return palloc(size);
}

void *
pg_malloc0(size_t size)
{
	return palloc0(size);
}

void *
pg_malloc_extended(size_t size, int flags)
{
	return palloc_extended(size, flags);
}

void *
pg_realloc(void *pointer, size_t size)
{
	return pointer ? repalloc(pointer, size) : palloc(size);
}

char *
pg_strdup(const char *in)
{
	return pstrdup(in);
}

void
pg_free(void *pointer)
{
	if (pointer != NULL)
		pfree(pointer);
}

#endif
