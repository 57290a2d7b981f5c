/*
 * staging_rings.c
 *
 * Making the rings, and looking at both of a listener's.
 */
#include "postgres.h"

#include "shared/staging_rings.h"

#include "storage/shmem.h"

Ring *StagingRings[MAX_LISTENERS][NUM_LANES];

static Size
compute_ring_room(void)
{
	return mul_size(fi_staging_size, 1024);
}

static Size
compute_ring_stride(void)
{
	return CACHELINEALIGN(RingShmemSize(compute_ring_room()));
}

static Size
compute_rings_size(void)
{
	return mul_size(fi_listeners * NUM_LANES, compute_ring_stride());
}

static void
attach_rings(void *memory, LWLock *lock, bool is_new)
{
	for (int i = 0; i < fi_listeners * NUM_LANES; i++)
	{
		Ring *ring = (Ring *) ((char *) memory + i * compute_ring_stride());

		StagingRings[i / NUM_LANES][i % NUM_LANES] = ring;
		if (is_new)
			RingInit(ring, compute_ring_room(), 0);
	}
}

const SharedPart StagingRingsPart = {"fast_ingest staging", NULL, compute_rings_size, attach_rings};

uint64
PairStagedRecords(Ring **rings)
{
	uint64 n = 0;

	for (int lane = 0; lane < NUM_LANES; lane++)
		n += RingStagedRecords(rings[lane]);
	return n;
}

int64
PairOldestStaged(Ring **rings)
{
	int64 oldest = 0;

	for (int lane = 0; lane < NUM_LANES; lane++)
	{
		int64 staged = RingOldestStaged(rings[lane]);

		if (staged != 0 && (oldest == 0 || staged < oldest))
			oldest = staged;
	}
	return oldest;
}
