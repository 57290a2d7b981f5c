/*
 * extension.c
 *
 * The workers run wherever the library is preloaded, whether or not CREATE
 * EXTENSION was run yet: each one that uses the extension's tables waits for it.
 */
#include "postgres.h"

#include "flush/extension.h"

#include "commands/extension.h"
#include "mb/pg_wchar.h"

#include "flush/transaction.h"
#include "settings.h"
#include "worker.h"

static void
look_for_extension(void *arg)
{
	*(bool *) arg = OidIsValid(get_extension_oid("fast_ingest", true));
}

bool
ExtensionFind(WorkerSlot *slot)
{
	bool exists = false;
	char reason[WORKER_ERROR_SIZE];
	ErrorData *error;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		snprintf(reason, sizeof(reason), "database \"%s\" has the encoding %s: UTF8 is needed",
				 fi_database, GetDatabaseEncodingName());
		WorkerSetState(slot, WORKER_WAITING, reason);
		return false;
	}
	error = RunTransaction("looking for the extension", look_for_extension, &exists);
	if (error != NULL)
	{
		WorkerReportError(error, "It looks for the extension again.");
		WorkerSetState(slot, WORKER_RETRYING, error->message);
		return false;
	}
	if (exists)
		return true;

	snprintf(reason, sizeof(reason), "extension fast_ingest is not created in database \"%s\"",
			 fi_database);
	WorkerSetState(slot, WORKER_WAITING, reason);
	return false;
}
