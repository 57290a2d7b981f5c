/*
 * database_hold.c
 *
 * A utility hook for the two commands that make the database of our workers go
 * and come.
 *
 * The connections of our workers would make DROP DATABASE of their database
 * wait and fail. So a backend that runs this command puts it on hold: the workers
 * end, and their next processes do not connect before the command is over. If
 * the database is gone then, those processes say so and come back now and again,
 * and at once after CREATE DATABASE.
 */
#include "postgres.h"

#include "worker/database_hold.h"

#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "utils/acl.h"

#include "base/compat.h"
#include "shared/query_slot.h"
#include "base/settings.h"
#include "db/utility_hook.h"
#include "shared/shared_state.h"

/*
 * May the user drop the database? Nobody else shall disturb the workers.
 */
static bool
is_our_database(const char *name)
{
	Oid database;

	if (strcmp(name, fi_database) != 0)
		return false;
	database = get_database_oid(name, true);
	return OidIsValid(database) && OwnsDatabase(database);
}

/*
 * The slots of all workers that are connected to the database, by number; NULL
 * behind the last one
 */
static WorkerSlot *
database_worker(int i)
{
	if (i == 0)
		return &Shared->maintenance;
	i--;
	if (i < fi_listeners)
		return &Shared->pairs[i].flusher;
	i -= fi_listeners;
	return i < fi_query_workers ? &QuerySlots[i].worker : NULL;
}

static void
wake_workers(void)
{
	for (int i = 0; database_worker(i) != NULL; i++)
		WorkerWake(database_worker(i));
}

static void
forget_failed_starts(void)
{
	for (int i = 0; database_worker(i) != NULL; i++)
		pg_atomic_write_u32(&database_worker(i)->failed_starts, 0);
}

/*
 * Give the hold up, if it is still this backend's. It does so also when it dies of a FATAL
 * error, which PG_FINALLY does not see: another backend may get its pid.
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
 * The state is the command, if it makes the workers' database go or come
 */
static void *
before_database_command(Node *command)
{
	if (IsA(command, CreatedbStmt))
		return strcmp(castNode(CreatedbStmt, command)->dbname, fi_database) == 0 ? command : NULL;
	if (!IsA(command, DropdbStmt) || !is_our_database(castNode(DropdbStmt, command)->dbname))
		return NULL;
	take_hold();
	wake_workers();
	/* these may be at work for longer than DROP DATABASE waits */
	WorkerTerminate(&Shared->maintenance);
	for (int i = 0; i < fi_query_workers; i++)
		WorkerTerminate(&QuerySlots[i].worker);
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
DropDatabaseHookInit(void)
{
	static const UtilityHook hook = {.before = before_database_command,
									 .at_end = end_database_command};

	UtilityHookRegister(&hook);
}
