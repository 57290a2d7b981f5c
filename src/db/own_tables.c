/*
 * own_tables.c
 *
 * Finding our own tables, which are always in schema fast_ingest.
 */
#include "postgres.h"

#include "db/own_tables.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

bool
ExtensionVersion(char version[EXTENSION_VERSION_SIZE])
{
	Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	bool found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("fast_ingest"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(extensions), &isnull);

		strlcpy(version, isnull ? "" : TextDatumGetCString(value), EXTENSION_VERSION_SIZE);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return found;
}

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

	if (OidIsValid(table))
		return table;
	if (ExtensionVersion(version) && strcmp(version, FI_VERSION) != 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"fast_ingest.%s\" does not exist", name),
						errdetail("The library is that of fast_ingest %s, the SQL objects are "
								  "those of %s.",
								  FI_VERSION, version),
						errhint("Run ALTER EXTENSION fast_ingest UPDATE.")));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("table \"fast_ingest.%s\" does not exist", name),
					errhint("Run CREATE EXTENSION fast_ingest.")));
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

/*
 * Act as the owner of a table of ours
 */
static SavedUser
become_owner_of(const char *name, int security)
{
	Oid table = OwnTable(name);
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	SavedUser saved;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"fast_ingest.%s\" was dropped", name)));
	saved.settings = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	GetUserIdAndSecContext(&saved.user, &saved.security);
	SetUserIdAndSecContext(((Form_pg_class) GETSTRUCT(tuple))->relowner,
						   saved.security | security | SECURITY_LOCAL_USERID_CHANGE);
	ReleaseSysCache(tuple);
	return saved;
}

SavedUser
ActAsRollupOwner(void)
{
	return become_owner_of("rollup_delta", SECURITY_RESTRICTED_OPERATION);
}

SavedUser
ActAsEventsOwner(void)
{
	return become_owner_of("events", SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
}

void
ActAsCallerAgain(SavedUser saved)
{
	SetUserIdAndSecContext(saved.user, saved.security);
	AtEOXact_GUC(true, saved.settings);
}
