/*
 * day_partition.c
 *
 * See day_partition.h.
 */
#include "postgres.h"

#include "flush/day_partition.h"

#include "nodes/bitmapset.h"
#include "utils/memutils.h"

#include "flush/extension.h"
#include "flush/partition.h"
#include "worker.h"

static Bitmapset *known_days = NULL;
static int32 blocked_day = ANY_DAY; /* none */
static char blocked_reason[WORKER_ERROR_SIZE];

static void
create_partition_body(void *arg)
{
	int32 day = *(int32 *) arg;

	ExtensionLock();
	if (!PartitionExists(day))
		PartitionCreate(day);
}

bool
DayIsKnown(int32 day)
{
	return bms_is_member(day, known_days);
}

ErrorData *
DayEnsure(int32 day, int patience, bool (*others_wait)(void))
{
	MemoryContext caller;
	ErrorData *error =
		GiveWayRun("creating a partition", create_partition_body, &day, patience, others_wait);

	if (error != NULL && GiveWayFired())
		return error;
	if (error != NULL)
	{
		bool blocked = error->sqlerrcode == ERRCODE_INVALID_OBJECT_DEFINITION;

		error->message = psprintf("the partition of %s cannot be made: %s", PartitionDayText(day),
								  error->message);
		error->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		error->domain = NULL; /* see WorkerDescribeError */
		if (!blocked)
			return error;
		WorkerReportError(error, "Events are stored as far as another partition takes them.");
		blocked_day = day;
		strlcpy(blocked_reason, error->message, sizeof(blocked_reason));
	}
	else if (day == blocked_day)
		blocked_day = ANY_DAY;

	caller = MemoryContextSwitchTo(TopMemoryContext);
	known_days = bms_add_member(known_days, day);
	MemoryContextSwitchTo(caller);
	return NULL;
}

void
DayForgetAll(void)
{
	bms_free(known_days);
	known_days = NULL;
}

const char *
DayBlocked(int32 day)
{
	return blocked_day != ANY_DAY && (day == ANY_DAY || day == blocked_day) ? blocked_reason : NULL;
}

void
DayTryBlocked(int patience, bool (*others_wait)(void))
{
	int32 day = blocked_day;

	if (day != ANY_DAY && GiveWayRun("creating a partition", create_partition_body, &day, patience,
									 others_wait) == NULL)
		blocked_day = ANY_DAY;
}
