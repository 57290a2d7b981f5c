/*
 * wait_for_extension.c
 *
 * Can this worker use the database it is connected to?
 */
#include "postgres.h"

#include "worker/wait_for_extension.h"

#include "mb/pg_wchar.h"

#include "base/settings.h"
#include "db/extension_version.h"
#include "db/transaction.h"
#include "worker/worker.h"

/*
 * The body of the transaction; arg has room for a version
 */
static void
read_extension_version(void *arg)
{
	char *version = arg;

	if (!ExtensionVersion(version))
		version[0] = '\0';
}

bool
ExtensionFind(WorkerSlot *slot)
{
	char version[EXTENSION_VERSION_SIZE] = "";
	char reason[WORKER_ERROR_SIZE];
	ErrorData *error;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		snprintf(reason, sizeof(reason), "database \"%s\" has the encoding %s: UTF8 is needed",
				 fi_database, GetDatabaseEncodingName());
		WorkerSetState(slot, WORKER_WAITING, reason);
		return false;
	}
	error = RunTransaction("looking for the extension", read_extension_version, version);
	if (error != NULL)
	{
		WorkerReportError(error, "It looks for the extension again.");
		WorkerSetRetrying(slot, error);
		return false;
	}
	ExtensionNoteVersion(version);
	if (version[0] != '\0' && ExtensionVersionIsSupported(version))
		return true;

	if (version[0] == '\0')
		snprintf(reason, sizeof(reason), "extension fast_ingest is not created in database \"%s\"",
				 fi_database);
	else
		snprintf(reason, sizeof(reason),
				 "the library of fast_ingest %s does not know the SQL objects of %s in database "
				 "\"%s\": install the library of %s",
				 LibraryVersion, version, fi_database, version);
	WorkerSetState(slot, WORKER_WAITING, reason);
	return false;
}
