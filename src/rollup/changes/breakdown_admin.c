/*
 * breakdown_admin.c
 *
 * Adds and drops breakdowns: fi_add_breakdown() and fi_drop_breakdown().
 *
 * A new breakdown counts all inserts that begin after its transaction has locked the breakdowns,
 * which waits until no insert is under way. All of time is marked to be counted again, so
 * that questions are answered from events until the next refresh has counted them.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "rollup/state/recount.h"
#include "rollup/state/refresh_lock.h"

PG_FUNCTION_INFO_V1(fi_add_breakdown);
PG_FUNCTION_INFO_V1(fi_drop_breakdown);

/*
 * Keep inserts waiting until the transaction ends, and make the next ones read the breakdowns
 * again. An ERROR (0A000) at REPEATABLE READ or above.
 */
static void
lock_breakdowns(void)
{
	Relation breakdowns;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("breakdowns cannot be changed at isolation level %s",
							   GetConfigOption("transaction_isolation", false, false)),
						errhint("Use READ COMMITTED.")));
	breakdowns = table_open(OwnTable("breakdowns"), ShareRowExclusiveLock);

	CacheInvalidateRelcache(breakdowns);
	table_close(breakdowns, NoLock);
}

static pg_noreturn void report_bad_levels(ArrayType *levels);

static void
report_bad_levels(ArrayType *levels)
{
	char *text = OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(levels));

	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("levels %s are not valid: expected {day}, {hour,day} or "
						   "{minute,hour,day}",
						   text)));
}

/*
 * The finest of some levels. An ERROR (22023) for anything but day and the levels below it
 * without a gap, in any order.
 */
static BucketLevel
find_finest_level(ArrayType *levels)
{
	static const char *const names[] = {"minute", "hour", "day"};
	bool has[lengthof(names)] = {0};
	Datum *items;
	bool *isnull;
	int n;
	int finest = 0;

	deconstruct_array(levels, TEXTOID, -1, false, TYPALIGN_INT, &items, &isnull, &n);
	for (int i = 0; i < n; i++)
	{
		int level = 0;

		while (level < (int) lengthof(names) &&
			   (isnull[i] || strcmp(TextDatumGetCString(items[i]), names[level]) != 0))
			level++;
		if (level == (int) lengthof(names))
			report_bad_levels(levels);
		has[level] = true;
	}
	while (finest < (int) lengthof(names) && !has[finest])
		finest++;
	for (int level = finest; level < (int) lengthof(names); level++)
		if (!has[level])
			report_bad_levels(levels);
	if (finest == (int) lengthof(names))
		report_bad_levels(levels);
	return LEVEL_MINUTE + finest;
}

/*
 * An ERROR if a name is not valid (22023) or taken (42710)
 */
static void
check_name(const char *name)
{
	BreakdownList *list;

	/* a new snapshot also shows what was committed during the wait for the lock */
	PushActiveSnapshot(GetLatestSnapshot());
	list = BreakdownsRead(GetActiveSnapshot());
	PopActiveSnapshot();
	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN || strcmp(name, "hour") == 0 ||
		strcmp(name, "day") == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name \"%s\" is not valid for a breakdown: expected 1 to %d bytes, "
							   "and neither \"hour\" nor \"day\"",
							   name, NAMEDATALEN - 1)));
	if (BreakdownByName(list, name) != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("breakdown \"%s\" already exists", name)));
}

static void
require_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"name", "expression", "levels", "max_keys"};

	for (int i = 0; i < PG_NARGS(); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is NULL", names[i])));
}

/*
 * Evaluate an expression for every event. If it fails for one, this call fails, and not every
 * refresh after it.
 */
static void
try_expression(const char *expression)
{
	char *statement = psprintf("SELECT count((%s\n)::text) FROM fast_ingest.events", expression);

	SPI_connect();
	(void) SpiSelect(statement, 0, 0, NULL, NULL);
	SPI_finish();
}

/*
 * Compile and try an expression with the rights of the owner of events, with which it will be
 * evaluated. This comes before the lock for which inserts wait.
 */
static void
check_expression(const char *expression)
{
	Relation events = table_open(OwnTable("events"), AccessShareLock);
	SavedUser user = ActAsEventsOwner();

	(void) BreakdownCompile(expression, events);
	table_close(events, NoLock);
	PushActiveSnapshot(GetLatestSnapshot());
	try_expression(expression);
	PopActiveSnapshot();
	ActAsCallerAgain(user);
}

static void
insert_breakdown(int64 id, const char *name, const char *expression, BucketLevel finest,
				 int32 max_keys)
{
	Oid types[] = {INT2OID, TEXTOID, TEXTOID, INT2OID, INT4OID};
	Datum values[5];

	values[0] = Int16GetDatum((int16) id);
	values[1] = CStringGetTextDatum(name);
	values[2] = CStringGetTextDatum(expression);
	values[3] = Int16GetDatum((int16) finest);
	values[4] = Int32GetDatum(max_keys);
	SPI_connect();
	(void) SpiRunWith("INSERT INTO fast_ingest.breakdowns (id, name, key, finest, max_keys)"
					  " VALUES ($1, $2, $3, $4, $5)",
					  SPI_OK_INSERT, 5, types, values);
	SPI_finish();
}

/*
 * fi_add_breakdown(name text, expression text, levels text[], max_keys integer)
 */
Datum
fi_add_breakdown(PG_FUNCTION_ARGS)
{
	char *name;
	char *expression;
	BucketLevel finest;
	int32 max_keys;
	int64 id;

	require_arguments(fcinfo);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	expression = text_to_cstring(PG_GETARG_TEXT_PP(1));
	finest = find_finest_level(PG_GETARG_ARRAYTYPE_P(2));
	max_keys = PG_GETARG_INT32(3);
	if (max_keys < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_keys %d is not valid: expected at least 1", max_keys)));
	check_expression(expression);
	lock_breakdowns();
	check_name(name);
	id = nextval_internal(OwnTable("breakdowns_id_seq"), true);
	insert_breakdown(id, name, expression, finest, max_keys);
	RecountMark(TIME_BEGIN, TIME_END, (int) id);
	PG_RETURN_VOID();
}

/*
 * fi_drop_breakdown(name text)
 */
Datum
fi_drop_breakdown(PG_FUNCTION_ARGS)
{
	char *name;
	const Breakdown *breakdown;
	Oid types[] = {INT2OID};
	Datum values[1];

	require_arguments(fcinfo);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	/*
	 * A refresh under way would insert rows of the breakdown after they are deleted here. Wait for
	 * it before inserts have to wait for this transaction.
	 */
	RefreshLock();
	lock_breakdowns();
	PushActiveSnapshot(GetLatestSnapshot());
	breakdown = BreakdownByName(BreakdownsRead(GetActiveSnapshot()), name);
	PopActiveSnapshot();
	if (breakdown == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("breakdown \"%s\" does not exist", name)));
	if (breakdown->id < 100)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("breakdown \"%s\" is built in and cannot be dropped", name)));

	values[0] = Int16GetDatum(breakdown->id);
	SPI_connect();
	for (int i = 0; i < 3; i++)
	{
		static const char *const statements[] = {
			"DELETE FROM fast_ingest.breakdowns WHERE id = $1",
			"DELETE FROM fast_ingest.rollup WHERE breakdown = $1",
			"DELETE FROM fast_ingest.recount WHERE breakdown = $1"};

		(void) SpiRunWith(statements[i], SPI_OK_DELETE, 1, types, values);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
