/*
 * clean_cron_log.c
 *
 * pg_cron notes every run of our jobs in cron.job_run_details, every few seconds, and
 * forgets none.
 */
#include "postgres.h"

#include "maintain/maintenance_steps.h"

#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/own_tables.h"
#include "db/set_option.h"
#include "db/spi.h"
#include "maintain/cron_jobs.h"
#include "shared/maintenance_request.h"

#define MAY_DELETE "SELECT WHERE has_table_privilege('cron.job_run_details', 'DELETE')"

/* A run that did not begin has no time, only a number. */
#define DELETE_RUNS \
	"DELETE FROM cron.job_run_details d" \
	" WHERE d.database = current_database() AND strpos(d.command, 'DO $fast_ingest$') > 0" \
	"  AND d.runid <= (SELECT max(r.runid) FROM cron.job_run_details r" \
	"   WHERE r.end_time < now() - interval '1 day')" \
	"  AND d.status IN ('succeeded', 'failed')"

typedef struct
{
	Oid role;
	uint64 deleted;
} Cleaning;

static void
delete_runs(void *arg)
{
	Cleaning *cleaning = arg;
	SavedUser user;

	ExtensionLock();
	WaitBriefly();
	/* a row security policy keeps the rows of others from the role */
	SetOption("row_security", "on", GUC_ACTION_LOCAL);
	user = ActAsRole(cleaning->role);
	if (CronMayBeUsed() && SpiSelect(MAY_DELETE, 1, 0, NULL, NULL) > 0)
		cleaning->deleted = SpiRun(DELETE_RUNS, SPI_OK_DELETE);
	ActAsCallerAgain(user);
}

ErrorData *
CleanCronLog(Oid role)
{
	Cleaning cleaning = {.role = role};
	ErrorData *error = RunTransaction("cleaning cron.job_run_details", delete_runs, &cleaning);

	if (error == NULL && cleaning.deleted > 0)
		MaintenanceRequestAddRow(
			"cleaned", NULL,
			psprintf(UINT64_FORMAT " rows of cron.job_run_details", cleaning.deleted));
	return error != NULL && ErrorIsOfLock(error->sqlerrcode) ? NULL : error;
}
