/*
 * cron_jobs.c
 *
 * Removes the jobs of fi_schedule() from pg_cron when the extension is dropped,
 * in the same transaction. They are rows of cron.job, which nothing ties to the
 * extension. A hook on the dropped object sees it whichever command does it: DROP
 * EXTENSION, DROP SCHEMA ... CASCADE, DROP OWNED. An event trigger would not: it is
 * dropped with the extension before it could fire.
 *
 * Where the library is not preloaded, or the user that drops may not remove a
 * job of another, the job finds at its next run that the extension is gone and
 * removes itself (see fi_schedule()).
 */
#include "postgres.h"

#include "maintain/cron_jobs.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/guc.h"

#define MAY_HAVE_JOBS \
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

static void
remove_jobs(void)
{
	/* pg_cron's functions fail where it is not preloaded, and its jobs do not run */
	if (GetConfigOption("cron.database_name", true, false) == NULL)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not connect to SPI")));
	if (SPI_execute(MAY_HAVE_JOBS, false, 1) == SPI_OK_SELECT && SPI_processed > 0)
		(void) SPI_execute(REMOVE_JOBS, false, 0);
	SPI_finish();
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class, object, sub_id, arg);

	if (access == OAT_DROP && class == ExtensionRelationId &&
		object == get_extension_oid("fast_ingest", true))
		remove_jobs();
}

void
UnscheduleHookInit(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}
