/*
 * cron_jobs.h
 *
 * The jobs that fi_schedule() gives to pg_cron.
 */
#ifndef FAST_INGEST_CRON_JOBS_H
#define FAST_INGEST_CRON_JOBS_H

/* Have the jobs removed when the extension is dropped; called by _PG_init. */
extern void CronJobsInit(void);

/*
 * Is extension pg_cron in this database, and may the current user see its schema? Needs a
 * transaction with SPI connected.
 */
extern bool CronMayBeUsed(void);

#endif
