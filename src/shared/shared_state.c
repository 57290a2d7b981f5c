/*
 * shared_state.c
 *
 * Requests the shared memory of all parts when the server starts, and initializes that of
 * the workers.
 */
#include "postgres.h"

#include "shared/shared_state.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shared/key_image.h"
#include "shared/maintenance_request.h"
#include "shared/query_slot.h"
#include "shared/rate_limits.h"
#include "shared/shared_part.h"
#include "shared/stream_slot.h"

/* The tranche of the common lock. */
#define COMMON_TRANCHE "fast_ingest"

SharedState *Shared = NULL;

static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
#ifdef HAVE_SHMEM_REQUEST_HOOK
static shmem_request_hook_type prev_shmem_request_hook = NULL;
#endif

static void
init_pair(Pair *pair, LWLock *lock)
{
	WorkerSlotInit(&pair->listener, lock);
	WorkerSlotInit(&pair->flusher, lock);
	pg_atomic_init_u64(&pair->received, 0);
	pg_atomic_init_u64(&pair->accepted, 0);
	pg_atomic_init_u64(&pair->rejected, 0);
	pg_atomic_init_u32(&pair->connections, 0);
	pg_atomic_init_u32(&pair->ports, 0);
	pg_atomic_init_u32(&pair->waiting_queries, 0);
	RequestCountersInit(&pair->counters);
	pg_atomic_init_u64(&pair->committed, 0);
	pg_atomic_init_u64(&pair->duplicate, 0);
	pg_atomic_init_u64(&pair->discarded, 0);
	pg_atomic_init_u64(&pair->dead_lettered, 0);
	pg_atomic_init_u64(&pair->dead_letters_dropped, 0);
	pg_atomic_init_u64(&pair->last_commit, 0);
	HistogramInit(&pair->batches);
	HistogramInit(&pair->commits);
	for (int lane = 0; lane < NUM_LANES; lane++)
		pg_atomic_init_u64(&pair->in_doubt[lane], 0);
	pg_atomic_init_u64(&pair->alive_at, 0);
	pg_atomic_init_u32(&pair->refuses_all, 0);
}

static void
init_state(LWLock *lock)
{
	memset(Shared, 0, sizeof(*Shared));
	Shared->lock = lock;
	pg_atomic_init_u32(&Shared->hold, 0);
	for (int i = 0; i < MAX_LISTENERS; i++)
		init_pair(&Shared->pairs[i], lock);
	WorkerSlotInit(&Shared->maintenance, lock);
	pg_atomic_init_u64(&Shared->backlog, 0);
	/* there may be one from before the server started */
	pg_atomic_init_u64(&Shared->backlog_deltas, 1);
	pg_atomic_init_u64(&Shared->backlog_since, (uint64) MonotonicNow());
	HistogramInit(&Shared->refreshes);
	pg_atomic_init_u64(&Shared->refreshes_failed, 0);
	pg_atomic_init_u64(&Shared->last_refresh, 0);
	/* nobody has counted them yet: so many that somebody will */
	pg_atomic_init_u64(&Shared->dead_letters, PG_INT64_MAX);
}

static Size
compute_state_size(void)
{
	return sizeof(SharedState);
}

static void
attach_state(void *memory, LWLock *lock, bool is_new)
{
	Shared = memory;
	if (is_new)
		init_state(lock);
}

static const SharedPart state_part = {"fast_ingest state", NULL, compute_state_size, attach_state};

static const SharedPart *const parts[] = {
	&state_part,	 &StagingRingsPart,		  &QuerySlotsPart, &KeyImagePart,
	&RateTablesPart, &MaintenanceRequestPart, &StreamSlotsPart};

static void
request_parts(void)
{
#ifdef HAVE_SHMEM_REQUEST_HOOK
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
#endif
	RequestNamedLWLockTranche(COMMON_TRANCHE, 1);
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		RequestAddinShmemSpace(CACHELINEALIGN(parts[i]->size()));
		if (parts[i]->tranche != NULL)
			RequestNamedLWLockTranche(parts[i]->tranche, 1);
	}
}

static void
attach_parts(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		const char *tranche = parts[i]->tranche != NULL ? parts[i]->tranche : COMMON_TRANCHE;
		bool found;
		void *memory = ShmemInitStruct(parts[i]->name, parts[i]->size(), &found);

		parts[i]->attach(memory, &GetNamedLWLockTranche(tranche)->lock, !found);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
SharedStateInit(void)
{
#ifdef HAVE_SHMEM_REQUEST_HOOK
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_parts;
#else
	request_parts();
#endif
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_parts;
}

void
SharedStateRequire(void)
{
	if (Shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fast_ingest is not loaded"),
				 errdetail("Its workers and its shared memory exist only from server start."),
				 errhint("Add fast_ingest to shared_preload_libraries and restart the "
						 "server.")));
}

uint64
SharedSumCounters(size_t offset)
{
	uint64 sum = 0;

	for (int i = 0; i < fi_listeners; i++)
		sum += pg_atomic_read_u64((pg_atomic_uint64 *) ((char *) &Shared->pairs[i] + offset));
	return sum;
}

HistogramTotal
SharedSumHistograms(size_t offset)
{
	HistogramTotal total = {0};

	for (int i = 0; i < fi_listeners; i++)
		HistogramTotalAdd(&total, (Histogram *) ((char *) &Shared->pairs[i] + offset));
	return total;
}
