/*
 * user_numbers.c
 *
 * Looks up users and adds them.
 */
#include "postgres.h"

#include "rollup/users/user_numbers.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "db/own_tables.h"
#include "db/spi.h"

/* Users added by one statement. */
#define USERS_PER_INSERT 10000

/* A hash to look up, and its position in the caller's list. */
typedef struct
{
	UserHash hash;
	int position;
} WantedUser;

static int
compare_wanted(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(UserHash));
}

/*
 * Sort hashes in the order of the index, so that each of its pages is visited once: all
 * hashes if numbers is NULL, else those without a number
 */
static WantedUser *
sort_as_index(int n, const UserHash *hashes, const uint32 *numbers, int *nwanted)
{
	WantedUser *wanted = palloc_extended((Size) Max(n, 1) * sizeof(WantedUser), MCXT_ALLOC_HUGE);

	*nwanted = 0;
	for (int i = 0; i < n; i++)
		if (numbers == NULL || numbers[i] == USER_UNKNOWN)
			wanted[(*nwanted)++] = (WantedUser){hashes[i], i};
	qsort(wanted, *nwanted, sizeof(WantedUser), compare_wanted);
	return wanted;
}

/*
 * Find the number for the scan's key, by an index-only scan: the table is visited only where
 * the visibility map does not say that all rows of a page are visible
 */
static uint32
find_number(Relation table, IndexScanDesc scan, TupleTableSlot *slot, Buffer *map)
{
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool isnull;

		if (VM_ALL_VISIBLE(table, ItemPointerGetBlockNumber(tid), map) ||
			index_fetch_heap(scan, slot))
			return (uint32) DatumGetInt32(
				index_getattr(scan->xs_itup, 2, scan->xs_itupdesc, &isnull));
	}
	return USER_UNKNOWN;
}

void
UserNumbersLookup(Snapshot snapshot, int n, const UserHash *hashes, uint32 *numbers)
{
	Relation table = table_open(OwnTable("users"), AccessShareLock);
	Relation index = index_open(PrimaryKeyIndex(table), AccessShareLock);
	IndexScanDesc scan = BeginIndexScan(table, index, snapshot, 1);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	int nwanted;
	WantedUser *wanted = sort_as_index(n, hashes, NULL, &nwanted);
	Buffer map = InvalidBuffer;
	ScanKeyData key;

	scan->xs_want_itup = true;
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(NULL));
	for (int i = 0; i < nwanted; i++)
	{
		if (i > 0 && compare_wanted(&wanted[i], &wanted[i - 1]) == 0)
		{
			numbers[wanted[i].position] = numbers[wanted[i - 1].position];
			continue;
		}
		CHECK_FOR_INTERRUPTS();
		key.sk_argument = UUIDPGetDatum((pg_uuid_t *) wanted[i].hash.bytes);
		index_rescan(scan, &key, 1, NULL, 0);
		numbers[wanted[i].position] = find_number(table, scan, slot, &map);
	}
	if (BufferIsValid(map))
		ReleaseBuffer(map);
	pfree(wanted);
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
}

static void
insert_users(int n, const Datum *hashes, const Datum *numbers)
{
	Oid types[] = {UUIDARRAYOID, INT4ARRAYOID};
	Datum values[2];

	values[0] = PointerGetDatum(
		construct_array((Datum *) hashes, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[1] = PointerGetDatum(
		construct_array((Datum *) numbers, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	(void) SpiRunWith("INSERT INTO fast_ingest.users (user_hash, user_no)"
					  " SELECT * FROM unnest($1, $2)",
					  SPI_OK_INSERT, 2, types, values);
	pfree(DatumGetPointer(values[0]));
	pfree(DatumGetPointer(values[1]));
}

void
UserNumbersAssign(int n, const UserHash *hashes, uint32 *numbers, int64 *next)
{
	Datum *new_hashes = palloc(USERS_PER_INSERT * sizeof(Datum));
	Datum *new_numbers = palloc(USERS_PER_INSERT * sizeof(Datum));
	WantedUser *new_users;
	int n_new;
	int count = 0;

	PushActiveSnapshot(GetLatestSnapshot());
	UserNumbersLookup(GetActiveSnapshot(), n, hashes, numbers);
	PopActiveSnapshot();
	new_users = sort_as_index(n, hashes, numbers, &n_new);
	for (int i = 0; i < n_new; i++)
	{
		if (*next >= MAX_USERS)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("fast_ingest.users is full: %d users", MAX_USERS)));
		numbers[new_users[i].position] = (uint32) *next;
		new_hashes[count] = UUIDPGetDatum((pg_uuid_t *) new_users[i].hash.bytes);
		new_numbers[count++] = Int32GetDatum((int32) (*next)++);
		if (count == USERS_PER_INSERT || i == n_new - 1)
		{
			insert_users(count, new_hashes, new_numbers);
			count = 0;
		}
	}
	pfree(new_users);
	pfree(new_numbers);
	pfree(new_hashes);
}
