/*
 * catalog.c
 *
 * Finding our own tables and functions. The tables are always in schema
 * fast_ingest; functions and types are where CREATE EXTENSION put them.
 */
#include "postgres.h"

#include "catalog.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

Oid
ExtensionTableIfThere(const char *name)
{
	Oid schema = get_namespace_oid("fast_ingest", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
ExtensionTable(const char *name)
{
	Oid table = ExtensionTableIfThere(name);

	if (!OidIsValid(table))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"fast_ingest.%s\" does not exist", name),
						errhint("Run CREATE EXTENSION fast_ingest.")));
	return table;
}

Oid
ExtensionSetType(void)
{
	Oid rollup = ExtensionTable("rollup");

	return get_atttype(rollup, get_attnum(rollup, "users"));
}

const char *
ExtensionSchema(void)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(ExtensionSetType()));
	Oid schema;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("type fi_user_set does not exist"),
				 errhint("Run CREATE EXTENSION fast_ingest.")));
	schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	return quote_identifier(get_namespace_name(schema));
}

void
ExtensionLockEvents(void)
{
	Oid events = ExtensionTable("events");

	table_close(table_open(events, AccessShareLock), NoLock);
	if (check_enable_rls(events, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("events cannot be counted as role \"%s\" sees them",
							   GetUserNameFromId(GetUserId(), false)),
						errdetail("Row security hides rows of fast_ingest.events from it, and the "
								  "rollup counts all of them.")));
}

SavedUser
ExtensionBecomeOwner(int security)
{
	Relation deltas = table_open(ExtensionTable("rollup_delta"), AccessShareLock);
	SavedUser saved;

	GetUserIdAndSecContext(&saved.user, &saved.security);
	SetUserIdAndSecContext(deltas->rd_rel->relowner,
						   saved.security | security | SECURITY_LOCAL_USERID_CHANGE);
	table_close(deltas, NoLock);
	return saved;
}

void
ExtensionBecomeUser(SavedUser saved)
{
	SetUserIdAndSecContext(saved.user, saved.security);
}
