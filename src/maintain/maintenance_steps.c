/*
 * maintenance_steps.c
 *
 * What the steps have in common.
 */
#include "postgres.h"

#include "maintain/maintenance_steps.h"

#include "db/set_option.h"

/* Inserts wait behind us while we wait for a lock on their table. */
#define BRIEF_WAIT "100ms"

void
WaitBriefly(void)
{
	SetOption("lock_timeout", BRIEF_WAIT, GUC_ACTION_LOCAL);
}
