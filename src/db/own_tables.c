/*
 * own_tables.c
 *
 * Finding our own tables, which are always in schema fast_ingest, and locking our own
 * objects.
 */
#include "postgres.h"

#include "db/own_tables.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "db/extension_version.h"

Oid
OwnTableIfThere(const char *name)
{
	Oid schema = get_namespace_oid("fast_ingest", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
OwnTable(const char *name)
{
	Oid table = OwnTableIfThere(name);
	char version[EXTENSION_VERSION_SIZE];
	bool differ;

	if (OidIsValid(table))
		return table;
	differ = ExtensionVersion(version) && strcmp(version, LibraryVersion) != 0;
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("table \"fast_ingest.%s\" does not exist", name),
					differ ? errdetail("The library is that of fast_ingest %s, the SQL objects are "
									   "those of %s.",
									   LibraryVersion, version)
						   : 0,
					differ ? errhint("Run ALTER EXTENSION fast_ingest UPDATE.")
						   : errhint("Run CREATE EXTENSION fast_ingest.")));
}

bool
IsEventsTable(Oid table)
{
	return OidIsValid(table) && table == OwnTableIfThere("events") &&
		   OidIsValid(get_extension_oid("fast_ingest", true));
}

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

void
LockEventsTable(void)
{
	Oid events = OwnTable("events");

	table_close(table_open(events, AccessShareLock), NoLock);
	if (check_enable_rls(events, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("events cannot be counted as role \"%s\" sees them",
							   GetUserNameFromId(GetUserId(), false)),
						errdetail("Row security hides rows of fast_ingest.events from it, and the "
								  "rollup counts all of them.")));
}
