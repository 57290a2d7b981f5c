/*
 * act_as_owner.c
 *
 * Switching to the owner of one of our tables or to another role, and back.
 */
#include "postgres.h"

#include "db/act_as_owner.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "db/own_tables.h"
#include "db/set_option.h"

static SavedUser
act_as(Oid role, int security)
{
	SavedUser saved = {.settings = NewGUCNestLevel()};

	SetOption("search_path", "pg_catalog, pg_temp", GUC_ACTION_SAVE);
	GetUserIdAndSecContext(&saved.user, &saved.security);
	SetUserIdAndSecContext(role, saved.security | security | SECURITY_RESTRICTED_OPERATION |
									 SECURITY_LOCAL_USERID_CHANGE);
	return saved;
}

static SavedUser
act_as_owner_of(const char *name, int security)
{
	Oid table = OwnTable(name);
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"fast_ingest.%s\" was dropped", name)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return act_as(owner, security);
}

SavedUser
ActAsRollupOwner(void)
{
	return act_as_owner_of("rollup_delta", 0);
}

SavedUser
ActAsEventsOwner(void)
{
	return act_as_owner_of("events", SECURITY_NOFORCE_RLS);
}

SavedUser
ActAsRole(Oid role)
{
	return act_as(role, 0);
}

void
ActAsCallerAgain(SavedUser saved)
{
	SetUserIdAndSecContext(saved.user, saved.security);
	AtEOXact_GUC(true, saved.settings);
}
