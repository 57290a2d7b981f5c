/*
 * create_ahead.c
 *
 * Makes partitions of the days to come, so that the first event of a day need not wait for
 * its partition, and rows that come by SQL find one.
 */
#include "postgres.h"

#include "maintain/maintenance_steps.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/own_tables.h"
#include "partition/create_partition.h"
#include "partition/equip_partition.h"
#include "partition/partition_ranges.h"
#include "shared/maintenance_request.h"

typedef struct
{
	int32 day;
	int n; /* days */
	bool *has_partition;
} DayList;

static void
find_partitions(void *arg)
{
	DayList *days = arg;
	DayPartition *partitions;
	int n;

	ExtensionLock();
	WaitBriefly();
	n = DayPartitions(days->day, days->day + days->n - 1, &partitions);
	for (int i = 0; i < n; i++)
		days->has_partition[partitions[i].day - days->day] = true;
}

typedef struct
{
	int32 day;
	MemoryContext caller;
	char *name; /* NULL: the day has its place in a larger partition */
} Creation;

static void
create_partition(void *arg)
{
	Creation *creation = arg;
	SavedUser user;
	DayPartition *partitions;

	ExtensionLock();
	WaitBriefly();
	user = ActAsEventsOwner();
	PartitionCreate(creation->day);
	CommandCounterIncrement();
	if (DayPartitions(creation->day, creation->day, &partitions) > 0)
		creation->name =
			MemoryContextStrdup(creation->caller, QualifiedName(partitions[0].partition));
	ActAsCallerAgain(user);
}

/*
 * Does the error say that the default partition is in use, or has rows of the day? That is
 * for the administrator to mend.
 */
static bool
may_be_skipped(const ErrorData *error)
{
	return ErrorIsOfLock(error->sqlerrcode) || error->sqlerrcode == ERRCODE_CHECK_VIOLATION;
}

ErrorData *
CreatePartitionsAhead(void)
{
	DayList days = {.day = DayOf(GetCurrentTimestamp()), .n = fi_partitions_ahead + 1};
	ErrorData *error;

	days.has_partition = palloc0(days.n * sizeof(bool));
	error = RunTransaction("looking for partitions", find_partitions, &days);
	if (error != NULL && ErrorIsOfLock(error->sqlerrcode))
	{
		MaintenanceRequestAddRow("skipped", NULL, EVENTS_IN_USE);
		return NULL;
	}
	for (int i = 0; i < days.n && error == NULL; i++)
	{
		Creation creation = {.day = days.day + i, .caller = CurrentMemoryContext};

		if (days.has_partition[i])
			continue;
		error = RunTransaction("creating a partition", create_partition, &creation);
		if (error == NULL && creation.name != NULL)
			MaintenanceRequestAddRow("created", creation.name, NULL);
		else if (error != NULL && may_be_skipped(error))
		{
			MaintenanceRequestAddRow("skipped", NULL,
									 psprintf("the partition of %s: %s",
											  PartitionDayText(creation.day), error->message));
			error = NULL;
		}
	}
	return error;
}
