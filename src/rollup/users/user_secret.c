/*
 * user_secret.c
 *
 * Keeps the secret in the process until it changes: a restore replaces the one that
 * CREATE EXTENSION made (see restored.c).
 */
#include "postgres.h"

#include "rollup/users/user_secret.h"

#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"

static uint8 kept[USER_SECRET_SIZE];
static Oid kept_of = InvalidOid; /* fast_ingest.secret; InvalidOid: nothing is kept */
static Oid secret_oid = InvalidOid;
static uint64 invalidations = 0;

/*
 * Callback: a relation's definition has changed, or what fi_row_replaced() says
 */
static void
on_relcache_invalidation(Datum arg, Oid relation)
{
	if (OidIsValid(relation) && relation != secret_oid)
		return;
	invalidations++;
	kept_of = InvalidOid;
}

/*
 * Read the secret. An ERROR without one: to go on would make strangers of all users.
 */
static void
read_secret(uint8 secret[USER_SECRET_SIZE])
{
	OwnTableScan rows;
	bool found = false;

	PushActiveSnapshot(GetLatestSnapshot());
	OwnTableScanBegin(&rows, "secret", AccessShareLock, GetActiveSnapshot());
	/* the last one: a restore with its triggers disabled has inserted it behind ours */
	while (OwnTableScanNext(&rows))
	{
		bool isnull;
		struct varlena *value = PG_DETOAST_DATUM_PACKED(slot_getattr(rows.slot, 1, &isnull));

		found = VARSIZE_ANY_EXHDR(value) == USER_SECRET_SIZE;
		if (found)
			memcpy(secret, VARDATA_ANY(value), USER_SECRET_SIZE);
	}
	OwnTableScanEnd(&rows);
	PopActiveSnapshot();
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fast_ingest.secret has no secret of %d bytes", USER_SECRET_SIZE),
				 errhint("Insert the row of fast_ingest.secret of a dump of this database.")));
}

const uint8 *
UserSecret(void)
{
	static bool registered = false;
	uint64 generation;

	if (OidIsValid(kept_of))
		return kept;
	if (!registered)
		CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
	registered = true;
	do
	{
		secret_oid = OwnTable("secret");
		generation = invalidations;
		read_secret(kept);
		/* it may have changed while it was read */
	} while (generation != invalidations);
	kept_of = secret_oid;
	return kept;
}
