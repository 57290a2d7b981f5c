/*
 * refresh_lock.c
 *
 * The lock is on the catalog entry of the extension, with an object number that no command locks.
 */
#include "postgres.h"

#include "rollup/state/refresh_lock.h"

#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "storage/lmgr.h"

void
RefreshLock(void)
{
	LockDatabaseObject(ExtensionRelationId, get_extension_oid("fast_ingest", false), 1,
					   ExclusiveLock);
}
