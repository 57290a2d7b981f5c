/*
 * act_as_owner.c
 *
 * Switching to the owner of one of our tables, and back.
 */
#include "postgres.h"

#include "db/act_as_owner.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "db/own_tables.h"

static SavedUser
act_as_owner_of(const char *name, int security)
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
	return act_as_owner_of("rollup_delta", SECURITY_RESTRICTED_OPERATION);
}

SavedUser
ActAsEventsOwner(void)
{
	return act_as_owner_of("events", SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
}

void
ActAsCallerAgain(SavedUser saved)
{
	SetUserIdAndSecContext(saved.user, saved.security);
	AtEOXact_GUC(true, saved.settings);
}
