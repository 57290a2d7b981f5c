/*
 * fast_ingest.c
 *
 * Event ingestion over HTTP inside PostgreSQL: what the library does when it
 * is loaded. The way of an event leads through the folders:
 *
 *     http/	a listener worker reads requests and answers them
 *     auth/	who may, by API key, and how much
 *     event/	bytes become events, events become tuples
 *     stage/	tuples wait in shared memory
 *     flush/	a flusher worker inserts them and commits
 *     rollup/	triggers count them, questions are answered
 *     query/	query workers answer questions that came over HTTP
 *     maintain/	a maintenance worker keeps the rollup up to date
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "worker/database_hold.h"
#include "partition/attach_from_dump.h"
#include "partition/table_commands.h"
#include "maintain/cron_jobs.h"
#include "rollup/changes/partition_hooks.h"
#include "base/settings.h"
#include "shared/shared_state.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/*
 * Without preloading nothing exists, not even settings, some of which cannot
 * come to life in a running server. CREATE EXTENSION, pg_dump and a restore, which
 * begins with CREATE EXTENSION and so loads the library, work all the same, and
 * functions that need shared memory say what to set.
 */
void
_PG_init(void)
{
	if (!IsBinaryUpgrade)
		RestoreHookInit();
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineSettings();
	if (IsBinaryUpgrade)
		return;
	SharedStateInit();
	RegisterWorkers();
	DropDatabaseHookInit();
	TableCommandsHookInit();
	PartitionHooksInit();
	UnscheduleHookInit();
}
