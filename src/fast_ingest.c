/*
 * fast_ingest.c
 *
 * Event ingestion over HTTP inside PostgreSQL: what happens when the library is loaded.
 *
 * A folder may include itself and the folders before it in this list (`make check-includes`):
 *
 *     base/		settings, clocks, maps: nothing of fast_ingest in particular
 *     db/			SQL and catalogs
 *     shared/		shared memory: staging rings, query slots, counters, API keys, rate limits
 *     worker/		starting and ending background workers
 *     event/		from JSON to an event, from an event to a tuple
 *     auth/		API keys
 *     partition/	making partitions of fast_ingest.events, and what users do to them
 *     rollup/		triggers count events, refreshes merge the counts, metrics are read from them
 *     query/		query workers answer queries that came over HTTP
 *     flush/		flushers insert staged events and commit
 *     stream/		stream workers send committed events to other systems
 *     http/		listeners read requests, admit them and answer them
 *     maintain/	the maintenance worker, pg_cron's jobs, the status functions
 *
 * An event goes from http/ by event/ to a staging ring in shared/, from there by flush/ into
 * its partition, and in the same transaction by a trigger of rollup/ into the rollup.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/settings.h"
#include "maintain/cron_jobs.h"
#include "partition/attach_from_dump.h"
#include "partition/table_commands.h"
#include "rollup/changes/partition_hooks.h"
#include "shared/shared_state.h"
#include "stream/run/stream_admin.h"
#include "worker/database_hold.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/*
 * Without preloading there are no settings, workers or shared memory: some settings cannot be
 * defined in a running server. CREATE EXTENSION, pg_dump and a restore work all the same (a
 * restore loads the library by CREATE EXTENSION). Functions that need shared memory raise an
 * ERROR that says what to set.
 */
void
_PG_init(void)
{
	if (!IsBinaryUpgrade)
		AttachFromDumpInit();
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineSettings();
	if (IsBinaryUpgrade)
		return;
	SharedStateInit();
	RegisterWorkers();
	DatabaseHoldInit();
	TableCommandsInit();
	PartitionHooksInit();
	CronJobsInit();
	StreamAdminInit();
}
