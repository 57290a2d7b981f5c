/*
 * maintenance_steps.c
 *
 * What the steps have in common.
 */
#include "postgres.h"

#include "maintain/maintenance_steps.h"

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/time_ranges.h"
#include "base/unix_time.h"

/* Inserts wait behind us while we wait for a lock on their table. */
#define BRIEF_WAIT "100ms"

void
WaitBriefly(void)
{
	(void) set_config_option("lock_timeout", BRIEF_WAIT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

bool
IsLockError(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

int32
DayOf(TimestampTz time)
{
	return (int32) ((BucketStart(time, LEVEL_DAY) + UNIX_EPOCH_OFFSET) / USECS_PER_DAY);
}
