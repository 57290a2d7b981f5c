/*
 * extension_version.c
 *
 * Versions of the library and of the SQL objects; see extension_version.h.
 */
#include "postgres.h"

#include "db/extension_version.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/settings.h"

const char LibraryVersion[] = FI_VERSION;

/* The version that ExtensionNoteVersion() was told last. */
static char noted_version[EXTENSION_VERSION_SIZE];

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

bool
ExtensionVersionIsSupported(const char *version)
{
	return atoi(version) <= atoi(LibraryVersion);
}

void
ExtensionNoteVersion(const char *version)
{
	if (strcmp(version, noted_version) == 0)
		return;
	strlcpy(noted_version, version, EXTENSION_VERSION_SIZE);
	if (version[0] != '\0' && strcmp(version, LibraryVersion) != 0)
		ereport(LOG, (errmsg("the library is that of fast_ingest %s, the SQL objects in database "
							 "\"%s\" are those of %s",
							 LibraryVersion, fi_database, version),
					  errhint("Run ALTER EXTENSION fast_ingest UPDATE, or install the library of "
							  "that version and restart the server.")));
}

void
ExtensionExplainError(ErrorData *error)
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
	if (noted_version[0] != '\0' && strcmp(noted_version, LibraryVersion) != 0)
		error->message = psprintf(
			"%s: the library of fast_ingest %s found the SQL objects of %s: run ALTER "
			"EXTENSION fast_ingest UPDATE",
			error->message ? error->message : "unknown error", LibraryVersion, noted_version);
}
