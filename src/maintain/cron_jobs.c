/*
 * cron_jobs.c
 *
 * Removes the jobs of fi_schedule() from pg_cron when the extension is dropped,
 * in the same transaction. They are rows of cron.job, which nothing ties to the
 * extension. A hook on the dropped object sees every command that drops it: DROP
 * EXTENSION, DROP SCHEMA ... CASCADE, DROP OWNED. An event trigger would not see
 * them, as it is dropped with the extension before it could fire.
 *
 * A job stays where the library is not preloaded, or where the user who drops the
 * extension may not remove the job of another. At its next run it finds that the
 * extension is gone and removes itself (see fi_schedule()).
 */
#include "postgres.h"

#include "maintain/cron_jobs.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/guc.h"

#include "db/spi.h"

#define SELECT_CRON \
	"SELECT FROM pg_catalog.pg_extension e, pg_catalog.pg_namespace n" \
	" WHERE e.extname OPERATOR(pg_catalog.=) 'pg_cron'::pg_catalog.name" \
	" AND n.nspname OPERATOR(pg_catalog.=) 'cron'::pg_catalog.name" \
	" AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'::pg_catalog.text)"

/* A row security policy shows their own jobs to those who are no superusers. */
#define REMOVE_JOBS \
	"SELECT cron.unschedule(jobid) FROM cron.job" \
	" WHERE jobname::pg_catalog.text OPERATOR(pg_catalog.=)" \
	"  ANY ('{fast_ingest refresh,fast_ingest maintain}'::pg_catalog.text[])" \
	" AND database OPERATOR(pg_catalog.=) pg_catalog.current_database()::pg_catalog.text"

static object_access_hook_type prev_object_access_hook = NULL;

bool
CronMayBeUsed(void)
{
	return SpiRun(SELECT_CRON, SPI_OK_SELECT) > 0;
}

static void
remove_jobs(void)
{
	/* pg_cron's functions fail where it is not preloaded, and its jobs do not run */
	if (GetConfigOption("cron.database_name", true, false) == NULL)
		return;
	SPI_connect();
	if (CronMayBeUsed())
		(void) SpiRun(REMOVE_JOBS, SPI_OK_SELECT);
	SPI_finish();
}

static void
remove_jobs_of_extension(ObjectAccessType access, Oid class, Oid object, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class, object, sub_id, arg);

	if (access == OAT_DROP && class == ExtensionRelationId &&
		object == get_extension_oid("fast_ingest", true))
		remove_jobs();
}

void
CronJobsInit(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = remove_jobs_of_extension;
}
