/*
 * database_hold.c
 *
 * The connections of our workers would make DROP DATABASE of their database fail. So a
 * backend that runs this command puts the database on hold: the workers end, and their next
 * processes do not connect before the command has ended. If the database is gone then, these
 * processes say so and try again now and then, and at once after CREATE DATABASE.
 */
#include "postgres.h"

#include "worker/database_hold.h"

#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "utils/acl.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "db/utility_hook.h"
#include "shared/query_slot.h"
#include "shared/shared_state.h"
#include "shared/stream_slot.h"

#define SLOT_WAIT 5000 /* ms */

/*
 * Is it the workers' database, and may the user drop it? Others must not disturb the workers.
 */
static bool
may_drop_our_database(const char *name)
{
	Oid database;

	if (strcmp(name, fi_database) != 0)
		return false;
	database = get_database_oid(name, true);
	return OidIsValid(database) && OwnsDatabase(database);
}

/*
 * The slots of all workers that connect to the database, by number; NULL behind the last
 */
static WorkerSlot *
find_database_worker(int i)
{
	if (i == 0)
		return &Shared->maintenance;
	i--;
	if (i < fi_listeners)
		return &Shared->pairs[i].flusher;
	i -= fi_listeners;
	if (i < fi_query_workers)
		return &QuerySlots[i].worker;
	i -= fi_query_workers;
	return i < fi_max_streams ? &StreamSlots[i].worker : NULL;
}

static void
wake_workers(void)
{
	for (int i = 0; find_database_worker(i) != NULL; i++)
		WorkerWake(find_database_worker(i));
}

static void
forget_failed_starts(void)
{
	for (int i = 0; find_database_worker(i) != NULL; i++)
		pg_atomic_write_u32(&find_database_worker(i)->failed_starts, 0);
}

/*
 * Give up the hold if it is this backend's. Also an exit callback, for the end by a FATAL
 * error, which PG_CATCH does not see: another backend may get this one's pid.
 */
static void
release_hold(int code, Datum arg)
{
	uint32 mine = MyProcPid;

	(void) pg_atomic_compare_exchange_u32(&Shared->hold, &mine, 0);
}

static void
take_hold(void)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(release_hold, (Datum) 0);
	registered = true;
	pg_atomic_write_u32(&Shared->hold, MyProcPid);
}

/*
 * DROP DATABASE waits for connections to end, but not for replication slots to be let go. Of
 * others, or in vain, it says so itself.
 */
static void
wait_for_replication_slots(Oid database)
{
	int64 until = MonotonicAfter(MonotonicNow(), SLOT_WAIT);
	int n;
	int active;

	while (fi_max_streams > 0 && MonotonicNow() < until &&
		   ReplicationSlotsCountDBSlots(database, &n, &active) && active > 0)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/*
 * The state is the command, if it makes the workers' database go or come
 */
static void *
before_database_command(Node *command)
{
	if (IsA(command, CreatedbStmt))
		return strcmp(castNode(CreatedbStmt, command)->dbname, fi_database) == 0 ? command : NULL;
	if (!IsA(command, DropdbStmt) || !may_drop_our_database(castNode(DropdbStmt, command)->dbname))
		return NULL;
	take_hold();
	wake_workers();
	/* these may be at work for longer than DROP DATABASE waits */
	WorkerTerminate(&Shared->maintenance);
	for (int i = 0; i < fi_query_workers; i++)
		WorkerTerminate(&QuerySlots[i].worker);
	for (int i = 0; i < fi_max_streams; i++)
		WorkerTerminate(&StreamSlots[i].worker);
	wait_for_replication_slots(get_database_oid(fi_database, true));
	return command;
}

static void
end_database_command(void *state)
{
	if (IsA(state, DropdbStmt))
		release_hold(0, (Datum) 0);
	else
		forget_failed_starts();
	wake_workers();
}

void
DatabaseHoldInit(void)
{
	static const UtilityHook hook = {.before = before_database_command,
									 .at_end = end_database_command};

	UtilityHookRegister(&hook);
}
