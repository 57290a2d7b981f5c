/*
 * shared_state.c
 *
 * Sizes, makes and finds the control block, the staging rings and the query slots, and
 * has src/auth/ do so with its tables.
 */
#include "postgres.h"

#include "shared/shared_state.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "shared/key_image.h"
#include "shared/rate_limits.h"
#include "base/compat.h"
#include "base/clock.h"
#include "shared/maintenance_request.h"
#include "shared/query_slot.h"
#include "base/settings.h"

#define TRANCHE "fast_ingest"

SharedState *Shared = NULL;
Ring *StagingRings[MAX_LISTENERS][NUM_LANES];

static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
#ifdef HAVE_SHMEM_REQUEST_HOOK
static shmem_request_hook_type prev_shmem_request_hook = NULL;
#endif

static Size
ring_room(void)
{
	return mul_size(fi_staging_size, 1024);
}

static void
request_shmem(void)
{
#ifdef HAVE_SHMEM_REQUEST_HOOK
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
#endif
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
	RequestAddinShmemSpace(
		mul_size(fi_listeners * NUM_LANES, CACHELINEALIGN(RingShmemSize(ring_room()))));
	RequestAddinShmemSpace(MAXALIGN(QuerySlotsShmemSize()));
	RequestNamedLWLockTranche(TRANCHE, 1);
	KeyImageRequest();
	RateTablesRequest();
	MaintenanceRequestShmemRequest();
}

void
WorkerSlotInit(WorkerSlot *slot)
{
	pg_atomic_init_u32(&slot->state, WORKER_STOPPED);
	pg_atomic_init_u32(&slot->told_to_end, 0);
	pg_atomic_init_u32(&slot->failed_starts, 0);
	pg_atomic_init_u64(&slot->starts, 0);
	strlcpy(slot->reason, "it has not been started: is max_worker_processes large enough?",
			WORKER_ERROR_SIZE);
}

static void
init_pair(Pair *pair)
{
	WorkerSlotInit(&pair->listener);
	WorkerSlotInit(&pair->flusher);
	pg_atomic_init_u64(&pair->received, 0);
	pg_atomic_init_u64(&pair->accepted, 0);
	pg_atomic_init_u64(&pair->rejected, 0);
	pg_atomic_init_u32(&pair->connections, 0);
	pg_atomic_init_u32(&pair->ports, 0);
	pg_atomic_init_u32(&pair->questions, 0);
	RequestCountersInit(&pair->traffic);
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
init_control(void)
{
	memset(Shared, 0, sizeof(*Shared));
	Shared->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	pg_atomic_init_u32(&Shared->hold, 0);
	for (int i = 0; i < MAX_LISTENERS; i++)
		init_pair(&Shared->pairs[i]);
	WorkerSlotInit(&Shared->maintenance);
	pg_atomic_init_u64(&Shared->backlog, 0);
	/* one that may have been left before the server started */
	pg_atomic_init_u64(&Shared->backlog_deltas, 1);
	pg_atomic_init_u64(&Shared->backlog_since, (uint64) MonotonicNow());
	HistogramInit(&Shared->refreshes);
	pg_atomic_init_u64(&Shared->refreshes_failed, 0);
	pg_atomic_init_u64(&Shared->last_refresh, 0);
	/* not counted yet: enough to have it done */
	pg_atomic_init_u64(&Shared->dead_letters, PG_INT64_MAX);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	Shared = ShmemInitStruct("fast_ingest control", sizeof(SharedState), &found);
	if (!found)
		init_control();
	for (int i = 0; i < fi_listeners * NUM_LANES; i++)
	{
		Ring **ring = &StagingRings[i / NUM_LANES][i % NUM_LANES];
		char name[32];

		snprintf(name, sizeof(name), "fast_ingest staging %d", i + 1);
		*ring = ShmemInitStruct(name, RingShmemSize(ring_room()), &found);
		if (!found)
			RingInit(*ring, ring_room(), 0);
	}
	QuerySlots = ShmemInitStruct("fast_ingest queries", QuerySlotsShmemSize(), &found);
	if (!found)
		QuerySlotsInit();
	KeyImageStartup();
	RateTablesStartup();
	MaintenanceRequestShmemStartup();
	LWLockRelease(AddinShmemInitLock);
}

void
SharedStateInit(void)
{
#ifdef HAVE_SHMEM_REQUEST_HOOK
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
#else
	request_shmem();
#endif
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

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
