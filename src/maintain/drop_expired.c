/*
 * drop_expired.c
 *
 * DROP TABLE of a partition locks fast_ingest.events as well. Inserts wait while it waits
 * for that lock, and then until its transaction ends. So each partition is dropped in a
 * transaction of its own. It first waits until no refresh runs, holding no other lock. Then
 * it waits briefly for the table, and not at all for the partition.
 *
 * Inserted events are in the rollup, or in deltas, which outlive the partition. Changed and
 * deleted events are counted again from the rows. So a refresh comes first, and a partition
 * that was changed since then is kept.
 */
#include "postgres.h"

#include "maintain/maintenance_steps.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "partition/equip_partition.h"
#include "partition/partition_ranges.h"
#include "rollup/refresh/refresh.h"
#include "rollup/state/recount.h"
#include "rollup/state/refresh_lock.h"
#include "shared/maintenance_request.h"
#include "worker/worker.h"

#define TRIES 3			 /* to lock the table, for each partition */
#define RETRY_PAUSE 1000 /* ms between them */

#define REFRESH_UNDER_WAY "the rollup is being refreshed"

/*
 * Is a day of events to be counted again, and can it be? A breakdown that was added when the
 * rows had gone has marks of the days that it will never know; these end.
 */
#define SELECT_MARKS \
	"SELECT FROM fast_ingest.recount WHERE low < $2 AND high > $1" \
	" AND (breakdown IS NULL OR high = 'infinity')"

typedef enum
{
	EXPIRED_DROPPED,
	EXPIRED_GONE, /* somebody else has dropped it */
	EXPIRED_IN_USE,
	EXPIRED_CHANGED /* rows were changed that the rollup does not know yet */
} ExpiredOutcome;

/* A partition whose day has expired, and what the last try to drop it came to. */
typedef struct
{
	Oid oid;
	int32 day;
	char *name;
	bool has_refresh_lock;
	bool has_events_lock;
	ExpiredOutcome outcome; /* if there was no error */
} Expired;

typedef struct
{
	MemoryContext caller;
	int n;
	Expired *items;
} ExpiredList;

/*
 * List the partitions that have expired
 */
static void
find_expired(void *arg)
{
	ExpiredList *list = arg;
	TimestampTz oldest = GetCurrentTimestamp() - fi_retention * USECS_PER_SEC;
	DayPartition *partitions;
	int n;

	ExtensionLock();
	WaitBriefly();
	n = DayPartitions(PG_INT32_MIN, DayOf(oldest) - 1, &partitions);
	list->items = MemoryContextAllocZero(list->caller, Max(n, 1) * sizeof(Expired));
	for (list->n = 0; list->n < n; list->n++)
	{
		Expired *item = &list->items[list->n];

		item->oid = partitions[list->n].partition;
		item->day = partitions[list->n].day;
		item->name = MemoryContextStrdup(list->caller, QualifiedName(item->oid));
	}
}

/*
 * Count what was changed in the partitions that have expired
 */
static void
refresh_expired(void *arg)
{
	const ExpiredList *list = arg;
	TimeRangeList days = {0};
	RefreshResult result;

	ExtensionLock();
	for (int i = 0; i < list->n; i++)
		TimeRangeListAdd(&days, DayStart(list->items[i].day), DayStart(list->items[i].day + 1));
	if (RecountTouches(GetActiveSnapshot(), &days))
		RefreshRun(&result);
}

/*
 * Lock a partition, and those that it is partitioned into, unless somebody uses one
 */
static bool
lock_unused(Oid partition)
{
	List *members = find_all_inheritors(partition, NoLock, NULL);
	ListCell *cell;

	foreach (cell, members)
		if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessExclusiveLock))
			return false;
	return true;
}

static bool
is_to_be_counted(int32 day)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(DayStart(day)), TimestampTzGetDatum(DayStart(day + 1))};
	SavedUser user = ActAsRollupOwner();
	bool found;

	PushActiveSnapshot(GetLatestSnapshot());
	found = SpiSelect(SELECT_MARKS, 1, lengthof(types), types, values) > 0;
	PopActiveSnapshot();
	ActAsCallerAgain(user);
	return found;
}

static void
drop_partition(void *arg)
{
	Expired *item = arg;
	SavedUser user;
	DayPartition *partitions;

	item->has_refresh_lock = item->has_events_lock = false;
	item->outcome = EXPIRED_DROPPED;

	/* in the order in which a refresh takes the locks */
	ExtensionLock();
	RefreshLock();
	item->has_refresh_lock = true;
	WaitBriefly();
	LockRelationOid(OwnTable("events"), AccessExclusiveLock);
	item->has_events_lock = true;
	if (DayPartitions(item->day, item->day, &partitions) == 0 ||
		partitions[0].partition != item->oid)
		item->outcome = EXPIRED_GONE;
	else if (!lock_unused(item->oid))
		item->outcome = EXPIRED_IN_USE;
	else if (is_to_be_counted(item->day))
		item->outcome = EXPIRED_CHANGED;
	else
	{
		/* it may have been renamed, and another table may have its name */
		item->name =
			MemoryContextStrdup(GetMemoryChunkContext(item->name), QualifiedName(item->oid));
		user = ActAsEventsOwner();
		SpiRunFormat(SPI_OK_UTILITY, "DROP TABLE %s", item->name);
		ActAsCallerAgain(user);
	}
}

static void
wait_to_retry(void)
{
	int64 until = MonotonicAfter(MonotonicNow(), RETRY_PAUSE);
	long left;

	while ((left = MonotonicLeft(MonotonicNow(), until)) > 0)
	{
		WorkerWait(left);
		if (WorkerShutdownRequested)
			proc_exit(1);
		(void) WorkerHandleInterrupts();
	}
}

/*
 * Drop a partition, in some tries if the table is in use
 */
static ErrorData *
try_to_drop(Expired *item)
{
	for (int try = 1;; try++)
	{
		ErrorData *error = RunTransaction("dropping a partition", drop_partition, item);

		if (error == NULL || !ErrorIsOfLock(error->sqlerrcode) || !item->has_refresh_lock ||
			item->has_events_lock || try == TRIES)
			return error;
		wait_to_retry();
	}
}

static void
skip_partition(const Expired *item, const char *reason)
{
	ereport(LOG,
			(errmsg("fast_ingest: expired partition %s was not dropped: %s", item->name, reason)));
	MaintenanceRequestAddRow("skipped", item->name, reason);
}

static void
report_outcome(const Expired *item)
{
	switch (item->outcome)
	{
		case EXPIRED_DROPPED:
			MaintenanceRequestAddRow("dropped", item->name, NULL);
			break;
		case EXPIRED_GONE:
			break;
		case EXPIRED_IN_USE:
			skip_partition(item, psprintf("could not obtain lock on relation \"%s\"", item->name));
			break;
		case EXPIRED_CHANGED:
			skip_partition(item, "rows were changed that the rollup does not know yet");
			break;
	}
}

/*
 * Does the error concern only this partition, and is it for the administrator to see to?
 */
static bool
may_be_skipped(const ErrorData *error)
{
	return ErrorIsOfLock(error->sqlerrcode) ||
		   error->sqlerrcode == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST ||
		   error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
}

ErrorData *
DropExpiredPartitions(void)
{
	ExpiredList list = {.caller = CurrentMemoryContext};
	const char *busy = NULL; /* why no partition can be dropped for the time being */
	ErrorData *error;

	if (fi_retention == 0)
		return NULL;
	error = RunTransaction("looking for partitions", find_expired, &list);
	if (error != NULL && ErrorIsOfLock(error->sqlerrcode))
	{
		MaintenanceRequestAddRow("skipped", NULL, EVENTS_IN_USE);
		return NULL;
	}
	if (error != NULL || list.n == 0)
		return error;
	error = RunTransaction("refreshing the rollup", refresh_expired, &list);
	if (error != NULL && ErrorIsOfLock(error->sqlerrcode))
		busy = REFRESH_UNDER_WAY;
	else if (error != NULL)
		return error;

	for (int i = 0; i < list.n; i++)
	{
		Expired *item = &list.items[i];

		error = busy == NULL ? try_to_drop(item) : NULL;
		if (error != NULL && !may_be_skipped(error))
			return error;
		if (error != NULL && !item->has_events_lock)
			busy = item->has_refresh_lock ? EVENTS_IN_USE : REFRESH_UNDER_WAY;
		if (busy != NULL)
			MaintenanceRequestAddRow("skipped", item->name, busy);
		else if (error != NULL)
			skip_partition(item, error->message);
		else
			report_outcome(item);
	}
	if (busy != NULL)
		ereport(LOG, (errmsg("fast_ingest: expired partitions were not dropped: %s", busy)));
	return NULL;
}
