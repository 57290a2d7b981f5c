/*
 * cron_jobs.h
 *
 * What fi_schedule() gave to pg_cron goes with the extension.
 */
#ifndef FAST_INGEST_CRON_JOBS_H
#define FAST_INGEST_CRON_JOBS_H

/* Install the hook; called by _PG_init. */
extern void UnscheduleHookInit(void);

#endif
