/*
 * catalog.c
 *
 * Finding our own tables and functions. The tables are always in schema
 * fast_ingest; functions and types are where CREATE EXTENSION put them.
 */
#include "postgres.h"

#include "catalog.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

Oid
ExtensionTable(const char *name)
{
	Oid schema = get_namespace_oid("fast_ingest", true);
	Oid table = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

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
