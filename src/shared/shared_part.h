/*
 * shared_part.h
 *
 * A part of the shared memory of fast_ingest. Each module that keeps something there
 * describes its part; shared_state.c has the table of all parts, and requests and attaches
 * them.
 */
#ifndef FAST_INGEST_SHARED_PART_H
#define FAST_INGEST_SHARED_PART_H

#include "storage/lwlock.h"

typedef struct
{
	const char *name;	 /* of the memory, in pg_shmem_allocations */
	const char *tranche; /* of a lock of its own; NULL: the common lock is enough */

	/* Bytes of memory. Called when the settings are known. */
	Size (*size)(void);

	/*
	 * Remember where the memory and the lock are, and if the memory is new, initialize it.
	 * Called when the server starts, and where processes do not inherit memory, by each.
	 */
	void (*attach)(void *memory, LWLock *lock, bool is_new);
} SharedPart;

#endif
