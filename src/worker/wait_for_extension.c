/*
 * wait_for_extension.c
 *
 * The workers run wherever the library is preloaded, whether or not CREATE
 * EXTENSION was run yet: each one that uses the extension's tables waits for it.
 *
 * Nor need its SQL objects be of the library's version: they are older between a
 * server's restart and ALTER EXTENSION UPDATE, and newer where the library was
 * taken back, or a standby's is older. Versions that begin with the same number
 * work with each other, as far as they go: what one lacks is an error of what
 * needs it, which stays staged, and says which command mends it. Of SQL objects
 * of a later number the library knows nothing, not even how to leave them alone.
 */
#include "postgres.h"

#include "worker/wait_for_extension.h"

#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "storage/lmgr.h"

#include "db/own_tables.h"
#include "db/transaction.h"
#include "base/settings.h"
#include "worker/worker.h"

/* The version of the SQL objects that this process works with; "" if there are none. */
static char sql_version[EXTENSION_VERSION_SIZE];

void
ExtensionLock(void)
{
	Oid extension = get_extension_oid("fast_ingest", true);

	if (OidIsValid(extension))
	{
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		if (get_extension_oid("fast_ingest", true) == extension)
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("extension \"fast_ingest\" does not exist")));
}

static void
look_for_extension(void *arg)
{
	char *version = arg;

	if (!ExtensionVersion(version))
		version[0] = '\0';
}

/*
 * Say once that the SQL objects are not of the library's version
 */
static void
note_version(const char *version)
{
	if (strcmp(version, sql_version) == 0)
		return;
	strlcpy(sql_version, version, EXTENSION_VERSION_SIZE);
	if (version[0] != '\0' && strcmp(version, FI_VERSION) != 0)
		ereport(LOG, (errmsg("the library is that of fast_ingest %s, the SQL objects in database "
							 "\"%s\" are those of %s",
							 FI_VERSION, fi_database, version),
					  errhint("Run ALTER EXTENSION fast_ingest UPDATE, or install the library of "
							  "that version and restart the server.")));
}

void
ExtensionExplain(ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_OBJECT:
			break;
		default:
			return;
	}
	if (sql_version[0] != '\0' && strcmp(sql_version, FI_VERSION) != 0)
		error->message =
			psprintf("%s: the library of fast_ingest %s found the SQL objects of %s: run ALTER "
					 "EXTENSION fast_ingest UPDATE",
					 error->message ? error->message : "unknown error", FI_VERSION, sql_version);
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
	error = RunTransaction("looking for the extension", look_for_extension, version);
	if (error != NULL)
	{
		WorkerReportError(error, "It looks for the extension again.");
		WorkerSetRetrying(slot, error);
		return false;
	}
	note_version(version);
	if (version[0] != '\0' && atoi(version) <= atoi(FI_VERSION))
		return true;

	if (version[0] == '\0')
		snprintf(reason, sizeof(reason), "extension fast_ingest is not created in database \"%s\"",
				 fi_database);
	else
		snprintf(reason, sizeof(reason),
				 "the library of fast_ingest %s does not know the SQL objects of %s in database "
				 "\"%s\": install the library of %s",
				 FI_VERSION, version, fi_database, version);
	WorkerSetState(slot, WORKER_WAITING, reason);
	return false;
}
