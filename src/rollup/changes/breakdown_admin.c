/*
 * breakdown_admin.c
 *
 * Adds and drops breakdowns: fi_add_breakdown() and fi_drop_breakdown(). alter_breakdown.c
 * changes them.
 *
 * A new breakdown counts all inserts that begin after its transaction has locked the breakdowns,
 * which waits until no insert is under way. All of time is marked to be counted again, so
 * that queries are answered from events until the next refresh has counted them.
 */
#include "postgres.h"

#include "rollup/changes/breakdown_admin.h"

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

/* Arguments of fi_add_breakdown(). */
enum
{
	ADD_NAME,
	ADD_EXPRESSION,
	ADD_LEVELS,
	ADD_MAX_KEYS,
	ADD_PER_SITE,
	ADD_METADATA,
	ADD_FINE_DAYS
};

void
BreakdownsLock(void)
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
					errmsg("levels %s are not valid: expected {day}, {hour,day}, "
						   "{quarter,hour,day} or {minute,hour,day}",
						   text)));
}

int64
BreakdownWidthOfLevels(ArrayType *levels)
{
	static const char *const names[] = {"minute", "quarter", "hour", "day"};
	static const int64 widths[] = {USECS_PER_MINUTE, QUARTER_WIDTH, USECS_PER_HOUR, USECS_PER_DAY};
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
	if (finest == (int) lengthof(names) || (has[0] && has[1]))
		report_bad_levels(levels);
	for (int level = Max(finest, 1) + 1; level < (int) lengthof(names); level++)
		if (!has[level])
			report_bad_levels(levels);
	return widths[finest];
}

/*
 * Has a name a meaning as a group, as a filter or as a parameter of HTTP?
 */
static bool
is_reserved(const char *name)
{
	static const char *const reserved[] = {
		"align",	"campaign_id", "cards",		 "compare_from", "compare_to", "cursor",
		"day",		"event",	   "event_name", "fill",		 "format",	   "from",
		"group_by", "hour",		   "key",		 "limit",		 "metadata",   "month",
		"path",		"since",	   "slow_cards", "step",		 "tag",		   "timezone",
		"to",		"top",		   "until",		 "week",		 "week_start"};

	for (int i = 0; i < (int) lengthof(reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			return true;
	return strncmp(name, "metadata.", strlen("metadata.")) == 0;
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
	list = BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN);
	PopActiveSnapshot();
	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name \"%s\" is not valid for a breakdown: expected 1 to %d bytes",
							   name, NAMEDATALEN - 1)));
	if (is_reserved(name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name \"%s\" is not valid for a breakdown: questions use it for "
							   "something else",
							   name)));
	if (BreakdownByName(list, name) != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("breakdown \"%s\" already exists", name)));
}

void
BreakdownRequireArgument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is NULL", name)));
}

int32
BreakdownNumberArgument(FunctionCallInfo fcinfo, int number, const char *name, int32 least)
{
	int32 value;

	BreakdownRequireArgument(fcinfo, number, name);
	value = PG_GETARG_INT32(number);
	if (value < least)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s %d is not valid: expected at least %d", name, value, least)));
	return value;
}

/*
 * The expression that is given, or that of a member of metadata. An ERROR (22023) unless it is
 * exactly one of the two.
 */
static char *
read_expression(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ADD_EXPRESSION) == PG_ARGISNULL(ADD_METADATA))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of expression and metadata is given: expected one of them",
							   PG_ARGISNULL(ADD_EXPRESSION) ? "none" : "each")));
	return PG_ARGISNULL(ADD_EXPRESSION)
			   ? BreakdownMetadataSql(text_to_cstring(PG_GETARG_TEXT_PP(ADD_METADATA)))
			   : text_to_cstring(PG_GETARG_TEXT_PP(ADD_EXPRESSION));
}

/*
 * Evaluate an expression for every event. If it fails for one, this call fails, and not every
 * refresh after it.
 */
static void
try_expression(const char *expression, bool is_array)
{
	char *statement = psprintf("SELECT count((%s\n)::%s) FROM fast_ingest.events", expression,
							   is_array ? "text[]" : "text");

	SPI_connect();
	(void) SpiSelect(statement, 0, 0, NULL, NULL);
	SPI_finish();
}

/*
 * Compile and try an expression with the rights of the owner of events, with which it will be
 * evaluated. This comes before the lock for which inserts wait. Returns whether it is an array.
 */
static bool
check_expression(const char *expression)
{
	Relation events = table_open(OwnTable("events"), AccessShareLock);
	SavedUser user = ActAsEventsOwner();
	bool is_array = BreakdownIsArray(expression, events);

	(void) BreakdownCompile(expression, is_array, events);
	table_close(events, NoLock);
	PushActiveSnapshot(GetLatestSnapshot());
	try_expression(expression, is_array);
	PopActiveSnapshot();
	ActAsCallerAgain(user);
	return is_array;
}

BucketLevel
BreakdownLevelOfWidth(int64 width)
{
	return width == USECS_PER_DAY ? LEVEL_DAY : width == USECS_PER_HOUR ? LEVEL_HOUR : LEVEL_MINUTE;
}

static void
insert_breakdown(const Breakdown *breakdown)
{
	Oid types[] = {INT2OID, TEXTOID, TEXTOID, TEXTOID, INT2OID, BOOLOID, INT4OID, INT4OID, BOOLOID};
	Datum values[lengthof(types)];
	char nulls[] = "         ";

	values[0] = Int16GetDatum(breakdown->id);
	values[1] = CStringGetTextDatum(breakdown->name);
	values[2] = CStringGetTextDatum(breakdown->key_sql);
	if (breakdown->scope_sql != NULL)
		values[3] = CStringGetTextDatum(breakdown->scope_sql);
	else
		nulls[3] = 'n';
	values[4] = Int16GetDatum((int16) BreakdownLevelOfWidth(breakdown->width));
	values[5] = BoolGetDatum(breakdown->width == QUARTER_WIDTH);
	values[6] = Int32GetDatum(breakdown->max_keys);
	values[7] = Int32GetDatum(breakdown->fine_days);
	values[8] = BoolGetDatum(breakdown->is_array);
	SPI_connect();
	(void) SpiRunWithNulls(
		"INSERT INTO fast_ingest.breakdowns"
		" (id, name, key, scope, finest, quarters, max_keys, fine_days, is_array)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		SPI_OK_INSERT, lengthof(types), types, values, nulls);
	SPI_finish();
}

/*
 * fi_add_breakdown(name text, expression text, levels text[], max_keys integer, per_site boolean,
 * metadata text, fine_days integer)
 */
Datum
fi_add_breakdown(PG_FUNCTION_ARGS)
{
	Breakdown breakdown = {0};

	BreakdownRequireArgument(fcinfo, ADD_NAME, "name");
	BreakdownRequireArgument(fcinfo, ADD_LEVELS, "levels");
	BreakdownRequireArgument(fcinfo, ADD_PER_SITE, "per_site");
	breakdown.name = text_to_cstring(PG_GETARG_TEXT_PP(ADD_NAME));
	breakdown.key_sql = read_expression(fcinfo);
	breakdown.width = BreakdownWidthOfLevels(PG_GETARG_ARRAYTYPE_P(ADD_LEVELS));
	breakdown.max_keys = BreakdownNumberArgument(fcinfo, ADD_MAX_KEYS, "max_keys", 1);
	breakdown.scope_sql = PG_GETARG_BOOL(ADD_PER_SITE) ? "site_id" : NULL;
	breakdown.fine_days = BreakdownNumberArgument(fcinfo, ADD_FINE_DAYS, "fine_days", 0);
	breakdown.is_array = check_expression(breakdown.key_sql);
	BreakdownsLock();
	check_name(breakdown.name);
	breakdown.id = (int16) nextval_internal(OwnTable("breakdowns_id_seq"), true);
	insert_breakdown(&breakdown);
	RecountMark(TIME_BEGIN, TIME_END, breakdown.id);
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

	BreakdownRequireArgument(fcinfo, 0, "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	/*
	 * A refresh under way would insert rows of the breakdown after they are deleted here. Wait for
	 * it before inserts have to wait for this transaction.
	 */
	RefreshLock();
	BreakdownsLock();
	PushActiveSnapshot(GetLatestSnapshot());
	breakdown = BreakdownByName(BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN), name);
	PopActiveSnapshot();
	if (breakdown == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("breakdown \"%s\" does not exist", name)));
	if (breakdown->id < FIRST_ADDED_BREAKDOWN)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("breakdown \"%s\" is built in and cannot be dropped", name)));

	values[0] = Int16GetDatum(breakdown->id);
	SPI_connect();
	for (int i = 0; i < 3; i++)
	{
		static const char *const statements[] = {
			"DELETE FROM fast_ingest.breakdowns WHERE id = $1",
			"DELETE FROM fast_ingest.rollup WHERE breakdown IN ($1, ~$1)",
			"DELETE FROM fast_ingest.recount WHERE breakdown = $1"};

		(void) SpiRunWith(statements[i], SPI_OK_DELETE, 1, types, values);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
