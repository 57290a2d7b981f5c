/*
 * key_publish.c
 *
 * Reading the API keys, and publishing them at the commit; see key_publish.h.
 */
#include "postgres.h"

#include "auth/key_publish.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "auth/api_key.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "db/transaction.h"
#include "worker/worker.h"

#define READ_INTERVAL 60000		  /* ms */
#define STANDBY_READ_INTERVAL 500 /* ms */

PG_FUNCTION_INFO_V1(fi_api_keys_changed);
PG_FUNCTION_INFO_V1(fi_publish_api_keys);

/* Columns of fast_ingest.api_keys. */
enum
{
	KEY_ID = 1,
	KEY_NAME,
	KEY_TENANT,
	KEY_SECRET_HASH,
	KEY_SCOPES,
	KEY_SITE_IDS,
	KEY_CHANNELS,
	KEY_ORIGINS,
	KEY_RATE_LIMIT,
	KEY_BURST,
	KEY_CREATED_AT
};

/* A row of it. */
typedef struct
{
	TimestampTz created_at;
	ApiKey key;
	KeyTexts site_ids;
	KeyTexts channels;
	KeyTexts origins;
} KeyRow;

/* What the current transaction has to do at its end. */
static bool changed = false;
static bool enlarged = false; /* there may be more or larger keys than before */
static KeyImage *to_publish = NULL;

static int64 read_at = 0; /* by this worker; see clock.h */

/*
 * Read a column of type text[]; NULL is n = -1
 */
static KeyTexts
read_texts(TupleTableSlot *slot, int number)
{
	KeyTexts texts = {.n = -1};
	bool isnull;
	Datum array = slot_getattr(slot, number, &isnull);
	Datum *elements;
	bool *nulls;

	if (isnull)
		return texts;
	deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &texts.n);
	texts.texts = palloc(texts.n * sizeof(char *));
	texts.lens = palloc(texts.n * sizeof(size_t));
	for (int i = 0; i < texts.n; i++)
	{
		texts.texts[i] = nulls[i] ? "" : VARDATA_ANY(DatumGetPointer(elements[i]));
		texts.lens[i] = nulls[i] ? 0 : VARSIZE_ANY_EXHDR(DatumGetPointer(elements[i]));
	}
	return texts;
}

static int32
read_limit(TupleTableSlot *slot, int number)
{
	bool isnull;
	Datum limit = slot_getattr(slot, number, &isnull);

	return isnull ? -1 : DatumGetInt32(limit);
}

/*
 * Read the current row; NULL if the table's constraints do not allow it
 */
static KeyRow *
read_row(TupleTableSlot *slot)
{
	KeyRow *row = palloc0(sizeof(KeyRow));
	KeyTexts scopes = read_texts(slot, KEY_SCOPES);
	bool isnull[4];
	Datum id = slot_getattr(slot, KEY_ID, &isnull[0]);
	Datum hash = slot_getattr(slot, KEY_SECRET_HASH, &isnull[1]);
	Datum created_at = slot_getattr(slot, KEY_CREATED_AT, &isnull[2]);
	Datum tenant = slot_getattr(slot, KEY_TENANT, &isnull[3]);
	bytea *digest;
	text *name;
	char *digits;

	if (isnull[0] || isnull[1] || isnull[2] || isnull[3])
		return NULL;
	digest = DatumGetByteaPP(hash);
	digits = TextDatumGetCString(id);
	name = DatumGetTextPP(tenant);
	if (VARSIZE_ANY_EXHDR(digest) != sizeof(row->key.digest) ||
		!ApiKeyParseId(digits, strlen(digits), &row->key.id))
		return NULL;
	memcpy(row->key.digest.bytes, VARDATA_ANY(digest), sizeof(row->key.digest));
	if (!Sha256Once((Slice){VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)}, &row->key.tenant))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	for (int i = 0; i < scopes.n; i++)
		row->key.scopes |= ApiScopeOf(scopes.texts[i], scopes.lens[i]);
	row->key.rate_limit = read_limit(slot, KEY_RATE_LIMIT);
	row->key.burst = read_limit(slot, KEY_BURST);
	row->created_at = DatumGetTimestampTz(created_at);
	row->site_ids = read_texts(slot, KEY_SITE_IDS);
	row->channels = read_texts(slot, KEY_CHANNELS);
	row->origins = read_texts(slot, KEY_ORIGINS);
	return row;
}

static int
compare_rows(const ListCell *a, const ListCell *b)
{
	const KeyRow *left = lfirst(a);
	const KeyRow *right = lfirst(b);

	return (left->created_at > right->created_at) - (left->created_at < right->created_at);
}

/*
 * Read the table as it is, with the changes of this transaction. NULL if there is no table.
 * left_out is the number of keys for which there is no room: the youngest.
 */
static KeyImage *
read_image(int *left_out)
{
	KeyImage *image;
	OwnTableScan rows;
	Snapshot snapshot;
	List *list = NIL;
	ListCell *cell;

	*left_out = 0;
	if (!OidIsValid(OwnTableIfThere("api_keys")))
		return NULL;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	OwnTableScanBegin(&rows, "api_keys", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		KeyRow *row = read_row(rows.slot);

		if (row != NULL)
			list = lappend(list, row);
	}
	OwnTableScanEnd(&rows);
	UnregisterSnapshot(snapshot);

	list_sort(list, compare_rows);
	image = KeyImageCreate(list_length(list));
	foreach (cell, list)
	{
		KeyRow *row = lfirst(cell);

		if (!KeyImageAdd(image, &row->key, &row->site_ids, &row->channels, &row->origins))
			(*left_out)++;
	}
	KeyImageFinish(image);
	return image;
}

/*
 * Read what will be published. The lock keeps others who have changed keys from doing the
 * same until this transaction has ended. So images are published in the order of the
 * commits, and each contains the changes of those before it.
 */
static void
read_image_to_publish(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	Oid relation = OwnTableIfThere("api_keys");
	int left_out;

	if (OidIsValid(relation))
		LockDatabaseObject(RelationRelationId, relation, 1, ExclusiveLock);
	CommandCounterIncrement();
	to_publish = read_image(&left_out);
	if (left_out > 0 && enlarged)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("there is no room for %d of the API keys", left_out),
						errdetail("There is room for fast_ingest.max_api_keys = %d keys, with 512 "
								  "bytes on average for site_ids, channels and origins.",
								  fi_max_api_keys),
						errhint("Revoke keys, or raise fast_ingest.max_api_keys and restart the "
								"server.")));
	MemoryContextSwitchTo(caller);
}

static void
publish_at_transaction_end(XactEvent event, void *arg)
{
	if (!changed)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			read_image_to_publish();
			return;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("cannot PREPARE a transaction that has changed API keys")));
			return;
		case XACT_EVENT_COMMIT:
			(void) KeyImagePublish(to_publish, ANY_GENERATION);
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	changed = enlarged = false;
	to_publish = NULL;
}

/*
 * Publish the keys when the transaction commits. It does nothing where there is no
 * image of them: without preloading, or in another database than fast_ingest.database.
 */
static void
publish_at_commit(bool may_enlarge)
{
	static bool registered = false;

	if (Shared == NULL || strcmp(get_database_name(MyDatabaseId), fi_database) != 0)
		return;
	if (!registered)
		RegisterXactCallback(publish_at_transaction_end, NULL);
	registered = true;
	changed = true;
	enlarged |= may_enlarge;
}

/*
 * Trigger: a statement is about to change the keys
 */
Datum
fi_api_keys_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function can only be called as a trigger before a statement")));
	if (RelationGetRelid(trigger->tg_relation) == OwnTableIfThere("api_keys"))
		publish_at_commit(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
						  TRIGGER_FIRED_BY_UPDATE(trigger->tg_event));
	return PointerGetDatum(NULL);
}

Datum
fi_publish_api_keys(PG_FUNCTION_ARGS)
{
	publish_at_commit(true);
	PG_RETURN_VOID();
}

bool
KeyPublishIsDue(void)
{
	return !KeyImageIsLoaded() || MonotonicNow() >= MonotonicAfter(read_at, READ_INTERVAL);
}

bool
KeyPublishIsDueOnStandby(void)
{
	return RecoveryInProgress() && KeyImageClaimReading(MonotonicNow(), STANDBY_READ_INTERVAL);
}

typedef struct
{
	bool done;
	int left_out;
} PublishResult;

/*
 * The body of the transaction. If the table is locked, somebody is about to change it, or
 * replay is. This worker does not wait for the lock, because others wait for this worker.
 */
static void
read_and_publish(void *arg)
{
	PublishResult *result = arg;
	uint64 generation = KeyImageGeneration();
	Oid relation = OwnTableIfThere("api_keys");

	result->done = !OidIsValid(relation) || ConditionalLockRelationOid(relation, AccessShareLock);
	if (result->done)
		(void) KeyImagePublish(read_image(&result->left_out), generation);
}

void
KeyPublish(WorkerSlot *slot)
{
	static int reported = 0;
	PublishResult result = {0};
	ErrorData *error = RunTransaction("looking at the API keys", read_and_publish, &result);

	/* replay on a standby cancels transactions; then the next attempt is soon */
	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TRANSACTION_ROLLBACK)
		WorkerReportError(error, "It looks at the API keys again.");
	if (error != NULL || !result.done)
		return;
	read_at = MonotonicNow();
	if (result.left_out > 0 && result.left_out != reported)
		ereport(LOG, (errmsg("fast_ingest has no room for %d of the API keys, which are refused",
							 result.left_out),
					  errhint("Raise fast_ingest.max_api_keys, which is %d, and restart the "
							  "server.",
							  fi_max_api_keys)));
	reported = result.left_out;
}

void
KeyPublishForget(uint64 generation)
{
	if (KeyImageIsLoaded())
		(void) KeyImagePublish(NULL, generation);
}
