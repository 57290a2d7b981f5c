/*
 * user_secret.c
 *
 * Keeps the secret in the process until it changes. A restore replaces the secret that
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

static uint8 cached_secret[USER_SECRET_SIZE];
static bool is_cached = false;
static Oid secret_oid = InvalidOid; /* of the table fast_ingest.secret */
static uint64 invalidations = 0;

/*
 * Callback: the table is another one, or its row was replaced (see fast_ingest.row_replaced)
 */
static void
forget_secret(Datum arg, Oid relation)
{
	if (OidIsValid(relation) && relation != secret_oid)
		return;
	invalidations++;
	is_cached = false;
}

/*
 * Read the secret. Without one, an ERROR: with any other secret, every known user would be
 * counted as a new one.
 */
static void
read_secret(uint8 secret[USER_SECRET_SIZE])
{
	OwnTableScan rows;
	bool found = false;

	PushActiveSnapshot(GetLatestSnapshot());
	OwnTableScanBegin(&rows, "secret", AccessShareLock, GetActiveSnapshot());
	/* a restore with disabled triggers adds its row behind ours: the last row counts */
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

	if (is_cached)
		return cached_secret;
	if (!registered)
		CacheRegisterRelcacheCallback(forget_secret, (Datum) 0);
	registered = true;
	do
	{
		secret_oid = OwnTable("secret");
		generation = invalidations;
		read_secret(cached_secret);
		/* it may have changed while it was read */
	} while (generation != invalidations);
	is_cached = true;
	return cached_secret;
}
