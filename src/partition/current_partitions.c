/*
 * current_partitions.c
 *
 * Notes when the table changes. A list that is read while the table changes is read again.
 */
#include "postgres.h"

#include "partition/current_partitions.h"

#include "access/table.h"
#include "partitioning/partdesc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "db/own_tables.h"

static Oid loaded_table = InvalidOid; /* whose list has been read whole; InvalidOid: none */

/*
 * Callback: the definition of the relation, or of any (InvalidOid), may have changed
 */
static void
forget_list(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == loaded_table)
		loaded_table = InvalidOid;
}

void
CurrentPartitionsLoad(void)
{
	static bool registered = false;
	Relation events = table_open(OwnTable("events"), AccessShareLock);

	if (!registered)
		CacheRegisterRelcacheCallback(forget_list, (Datum) 0);
	registered = true;

	/* opening the table processes no messages if this transaction has a lock on it already */
	AcceptInvalidationMessages();
	while (loaded_table != RelationGetRelid(events))
	{
		loaded_table = RelationGetRelid(events);
		/* somebody else in this process may have read the list meanwhile */
		RelationCacheInvalidateEntry(loaded_table);
		(void) RelationGetPartitionDesc(events, true);
		(void) RelationGetPartitionDesc(events, false);
	}
	table_close(events, AccessShareLock);
}
