/*
 * stream_admin.c
 *
 * fi_pause_stream(), fi_resume_stream(), fi_drop_stream(). As fi_create_stream() they only write
 * tables, and have the worker read them when the transaction commits: slots are not
 * transactional, so it is the worker that makes and drops them.
 */
#include "postgres.h"

#include "stream/run/stream_admin.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "db/utility_hook.h"
#include "shared/shared_state.h"
#include "stream/decode/decoder.h"
#include "stream/backfill/backfill.h"
#include "stream/run/progress.h"

PG_FUNCTION_INFO_V1(fi_pause_stream);
PG_FUNCTION_INFO_V1(fi_resume_stream);
PG_FUNCTION_INFO_V1(fi_drop_stream);

void
StreamAdminRequire(void)
{
	SharedStateRequire();
	if (strcmp(get_database_name(MyDatabaseId), fi_database) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("streams are of database \"%s\", which fast_ingest.database names",
							   fi_database),
						errhint("Connect to that database.")));
	if (wal_level < WAL_LEVEL_LOGICAL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("wal_level is \"%s\": streams need \"logical\"",
							   GetConfigOption("wal_level", false, false)),
						errhint("Set wal_level = logical and restart the server.")));
	if (fi_max_streams == 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("fast_ingest.max_streams is 0: there are no workers for streams"),
						errhint("Raise fast_ingest.max_streams and restart the server.")));
}

/* A stream as the functions below find it, locked until the transaction ends. */
typedef struct
{
	int32 id;
	int worker;
	char *slot_name; /* NULL: it has no progress */
	bool lost;
	char *lost_reason;
} FoundStream;

/*
 * Find a stream; an ERROR if there is none. Connected to SPI, as the owner of the rollup.
 */
static void
find_stream(FunctionCallInfo fcinfo, FoundStream *found)
{
	Oid types[] = {TEXTOID};
	Datum values[1];
	bool isnull;
	SPITupleTable *table;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name is NULL")));
	values[0] = PG_GETARG_DATUM(0);
	if (SpiRunWith("SELECT s.id, s.worker, p.slot_name, p.lost_at IS NOT NULL, p.lost_reason"
				   " FROM fast_ingest.streams s"
				   " LEFT JOIN fast_ingest.stream_progress p ON p.stream_id = s.id"
				   " WHERE s.name = $1 FOR UPDATE OF s",
				   SPI_OK_SELECT, 1, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
	table = SPI_tuptable;
	found->id = DatumGetInt32(SPI_getbinval(table->vals[0], table->tupdesc, 1, &isnull));
	found->worker = DatumGetInt32(SPI_getbinval(table->vals[0], table->tupdesc, 2, &isnull));
	found->slot_name = SPI_getvalue(table->vals[0], table->tupdesc, 3);
	found->lost = found->slot_name == NULL ||
				  DatumGetBool(SPI_getbinval(table->vals[0], table->tupdesc, 4, &isnull));
	found->lost_reason = SPI_getvalue(table->vals[0], table->tupdesc, 5);
}

static void
run_for_stream(const char *statement, int expected_result, int32 stream_id)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(stream_id)};

	(void) SpiRunWith(statement, expected_result, 1, types, values);
}

/*
 * fi_pause_stream(name text)
 */
Datum
fi_pause_stream(PG_FUNCTION_ARGS)
{
	SavedUser user = ActAsRollupOwner();
	FoundStream found;

	SPI_connect();
	find_stream(fcinfo, &found);
	run_for_stream("UPDATE fast_ingest.streams SET paused = true WHERE id = $1", SPI_OK_UPDATE,
				   found.id);
	SPI_finish();
	ActAsCallerAgain(user);
	StreamCommandAtCommit(found.worker, 0, false);
	PG_RETURN_VOID();
}

/*
 * Raise an ERROR if the stream cannot go on in the way that was asked for
 */
static void
check_resume(const char *name, const FoundStream *found, bool refill, bool skip_lost)
{
	const char *reason = found->lost_reason != NULL ? found->lost_reason : STREAM_NO_POSITION;

	if (refill && skip_lost)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("refill and skip_lost are both true"), errhint("Choose one.")));
	if (found->lost && !refill && !skip_lost)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" is lost", name), errdetail_internal("%s", reason),
				 errhint("With refill => true it sends what is missing, with skip_lost => true it "
						 "goes on with events of now.")));
	if (!found->lost && (refill || skip_lost))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("stream \"%s\" is not lost", name),
						errhint("fi_resend_stream() sends a range of time again.")));
	if (found->worker >= fi_max_streams)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("stream \"%s\" has worker %d, and fast_ingest.max_streams is %d",
							   name, found->worker + 1, fi_max_streams),
						errhint("Raise fast_ingest.max_streams and restart the server.")));
}

/*
 * fi_resume_stream(name text, refill boolean, skip_lost boolean)
 */
Datum
fi_resume_stream(PG_FUNCTION_ARGS)
{
	bool refill = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	bool skip_lost = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	SavedUser user;
	FoundStream found;

	StreamAdminRequire();
	user = ActAsRollupOwner();
	SPI_connect();
	find_stream(fcinfo, &found);
	check_resume(text_to_cstring(PG_GETARG_TEXT_PP(0)), &found, refill, skip_lost);
	if (refill)
	{
		Stream stream;

		StreamReadByName(text_to_cstring(PG_GETARG_TEXT_PP(0)), &stream);
		BackfillAddRefill(&stream);
	}
	if (found.lost)
		ProgressNewEpoch(found.id);
	run_for_stream("UPDATE fast_ingest.streams SET paused = false WHERE id = $1", SPI_OK_UPDATE,
				   found.id);
	SPI_finish();
	ActAsCallerAgain(user);
	StreamCommandAtCommit(found.worker, found.lost ? found.id : 0, true);
	PG_RETURN_VOID();
}

/* A slot that the current transaction drops if no worker does. */
typedef struct
{
	char *name;
	int worker;
	SubTransactionId subtransaction;
} SlotToDrop;

static List *slots_to_drop = NIL;	   /* in TopTransactionContext */
static bool dropped_extension = false; /* maybe that of fast_ingest, maybe rolled back */

/*
 * A worker without a process drops nothing
 */
static bool
has_process(int worker)
{
	return StreamSlots != NULL && worker < fi_max_streams && StreamSlots[worker].worker.pid != 0;
}

static void
drop_slots(void)
{
	ListCell *cell;

	foreach (cell, slots_to_drop)
	{
		const SlotToDrop *slot = lfirst(cell);

		if (!has_process(slot->worker))
			SlotDropByName(slot->name);
	}
	/* there are workers to do that, or there are none */
	if (dropped_extension && fi_max_streams == 0 &&
		!OidIsValid(get_extension_oid("fast_ingest", true)))
		(void) SlotSweep(NULL, 0);
}

static void
end_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE && slots_to_drop != NIL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot PREPARE a transaction that has dropped streams")));
	if (event == XACT_EVENT_PRE_COMMIT)
		drop_slots();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		slots_to_drop = NIL;
		dropped_extension = false;
	}
}

/*
 * A savepoint that is rolled back keeps its slots
 */
static void
end_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	ListCell *cell;

	foreach (cell, slots_to_drop)
	{
		SlotToDrop *slot = lfirst(cell);

		if (slot->subtransaction != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			slot->subtransaction = parent;
		else if (event == SUBXACT_EVENT_ABORT_SUB)
			slots_to_drop = foreach_delete_current (slots_to_drop, cell);
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
	registered = true;
}

static void
drop_slot_at_commit(const char *name, int worker)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	SlotToDrop *slot = palloc(sizeof(SlotToDrop));

	register_callbacks();
	*slot = (SlotToDrop){pstrdup(name), worker, GetCurrentSubTransactionId()};
	slots_to_drop = lappend(slots_to_drop, slot);
	MemoryContextSwitchTo(caller);
}

/*
 * fi_drop_stream(name text)
 */
Datum
fi_drop_stream(PG_FUNCTION_ARGS)
{
	SavedUser user = ActAsRollupOwner();
	FoundStream found;

	SPI_connect();
	find_stream(fcinfo, &found);
	if (found.slot_name != NULL && !has_process(found.worker))
		drop_slot_at_commit(found.slot_name, found.worker);
	run_for_stream("DELETE FROM fast_ingest.streams WHERE id = $1", SPI_OK_DELETE, found.id);
	SPI_finish();
	ActAsCallerAgain(user);
	StreamCommandAtCommit(found.worker, 0, false);
	PG_RETURN_VOID();
}

/*
 * The state is the command, if it may drop the extension
 */
static void *
before_drop(Node *command)
{
	return IsA(command, DropStmt) && castNode(DropStmt, command)->removeType == OBJECT_EXTENSION
			   ? command
			   : NULL;
}

static void
after_drop(Node *command, void *state)
{
	register_callbacks();
	dropped_extension = true;
	StreamCommandAtCommit(-1, 0, false);
}

void
StreamAdminInit(void)
{
	static const UtilityHook hook = {.before = before_drop, .after = after_drop};

	UtilityHookRegister(&hook);
}
