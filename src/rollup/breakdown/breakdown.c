/*
 * breakdown.c
 *
 * Reads the breakdowns, and compiles their expressions for the trigger.
 *
 * Every process that inserts events keeps a compiled list. It locks fast_ingest.breakdowns
 * in mode ROW EXCLUSIVE before it uses the list, until its transaction ends. Whoever changes
 * the breakdowns takes a lock that conflicts with it, and invalidates the table's relation
 * cache entry. The next insert processes this invalidation when it gets its lock, so it never
 * counts by an old list.
 */
#include "postgres.h"

#include "rollup/breakdown/breakdown.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/grow_array.h"
#include "db/own_tables.h"
#include "db/scan_own_table.h"
#include "db/set_option.h"
#include "partition/event_columns.h"

static MemoryContext cache_context = NULL;
static BreakdownList *cached_list = NULL; /* NULL: none, or not valid any more */
static Oid breakdowns_oid = InvalidOid;
static uint64 invalidations = 0;

static char *
read_text_column(TupleTableSlot *slot, int attribute)
{
	bool isnull;
	Datum value = slot_getattr(slot, attribute, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int
compare_ids(const void *a, const void *b)
{
	return ((const Breakdown *) a)->id - ((const Breakdown *) b)->id;
}

TimestampTz
BreakdownFineFrom(const Breakdown *breakdown, TimestampTz days_closed)
{
	if (breakdown->fine_days == 0 ||
		(days_closed - TIME_BEGIN) / USECS_PER_DAY <= breakdown->fine_days)
		return breakdown->fine_since;
	return Max(breakdown->fine_since, days_closed - breakdown->fine_days * USECS_PER_DAY);
}

BreakdownList *
BreakdownsRead(Snapshot snapshot, TimestampTz days_closed)
{
	OwnTableScan rows;
	BreakdownList *list = palloc0(sizeof(BreakdownList));
	uint32 room = 0;

	OwnTableScanBegin(&rows, "breakdowns", AccessShareLock, snapshot);
	while (OwnTableScanNext(&rows))
	{
		Breakdown *item;
		bool isnull;

		list->items =
			GrowArray(CurrentMemoryContext, list->items, list->n, &room, sizeof(Breakdown));
		item = &list->items[list->n++];
		memset(item, 0, sizeof(*item));
		item->id = DatumGetInt16(slot_getattr(rows.slot, 1, &isnull));
		item->name = read_text_column(rows.slot, 2);
		item->key_sql = read_text_column(rows.slot, 3);
		item->scope_sql = read_text_column(rows.slot, 4);
		item->finest = DatumGetInt16(slot_getattr(rows.slot, 5, &isnull));
		item->max_keys = DatumGetInt32(slot_getattr(rows.slot, 6, &isnull));
		item->width = DatumGetBool(slot_getattr(rows.slot, 7, &isnull)) ? QUARTER_WIDTH
																		: BucketWidth(item->finest);
		item->fine_days = DatumGetInt32(slot_getattr(rows.slot, 8, &isnull));
		item->is_array = DatumGetBool(slot_getattr(rows.slot, 9, &isnull));
		item->fine_since =
			Max(DatumGetTimestampTz(slot_getattr(rows.slot, 10, &isnull)), TIME_BEGIN);
		item->fine_from = BreakdownFineFrom(item, days_closed);
		/* everything that has no group but of time is answered from the channels */
		item->keeps_times = item->id == BREAKDOWN_CHANNEL;
	}
	OwnTableScanEnd(&rows);
	if (list->n > 0)
		qsort(list->items, list->n, sizeof(Breakdown), compare_ids);
	return list;
}

/*
 * Does an expression use the row as a whole, or system columns?
 */
static bool
uses_more_than_columns(Expr *expression)
{
	Bitmapset *attributes = NULL;

	pull_varattnos((Node *) expression, 1, &attributes);
	return bms_next_member(attributes, -1) >= 0 &&
		   bms_next_member(attributes, -1) <= -FirstLowInvalidHeapAttributeNumber;
}

/*
 * Take the expression out of a statement that should be "SELECT expression FROM table". An
 * ERROR if the statement is anything else, or if the expression depends on anything but the
 * columns of a single row.
 */
static Expr *
extract_expression(RawStmt *raw, const char *statement, const char *expression)
{
	Query *query = AnalyzeStatement(raw, statement);
	TargetEntry *target;

	if (query->commandType != CMD_SELECT || list_length(query->rtable) != 1 ||
		list_length(query->targetList) != 1 || query->hasSubLinks || query->hasAggs ||
		query->hasWindowFuncs || query->hasTargetSRFs || query->jointree->quals != NULL ||
		query->sortClause != NIL || query->groupClause != NIL || query->limitCount != NULL ||
		query->distinctClause != NIL || query->cteList != NIL || query->setOperations != NULL ||
		uses_more_than_columns(((TargetEntry *) linitial(query->targetList))->expr))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid expression for a breakdown: %s", expression),
						errdetail("It must be a scalar expression over the columns of a row of "
								  "fast_ingest.events, without subqueries, aggregates or window "
								  "functions.")));
	target = linitial(query->targetList);
	if (contain_mutable_functions((Node *) target->expr))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("expression for a breakdown is not immutable: %s", expression),
						errdetail("The same row must have the same key for ever.")));
	return expression_planner(target->expr);
}

/*
 * Error context: let an error's position point into our statement instead of the user's
 */
static void
show_statement(void *statement)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(statement);
	}
}

/*
 * Compile an expression with a cast, which may be ""
 */
static Expr *
compile_expression(const char *expression, const char *cast, Relation relation)
{
	char *statement = psprintf("SELECT (%s\n)%s FROM %s.%s", expression, cast,
							   quote_identifier(get_namespace_name(RelationGetNamespace(relation))),
							   quote_identifier(RelationGetRelationName(relation)));
	ErrorContextCallback context = {error_context_stack, show_statement, statement};
	int level = NewGUCNestLevel();
	List *raw;
	Expr *result;

	SetOption("search_path", "pg_catalog, pg_temp", GUC_ACTION_SAVE);
	error_context_stack = &context;
	raw = raw_parser(statement, RAW_PARSE_DEFAULT);
	if (list_length(raw) != 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid expression for a breakdown: %s", expression)));
	result = extract_expression(linitial(raw), statement, expression);
	error_context_stack = context.previous;
	AtEOXact_GUC(true, level);
	return result;
}

Expr *
BreakdownCompile(const char *expression, bool is_array, Relation relation)
{
	return compile_expression(expression, is_array ? "::pg_catalog.text[]" : "::pg_catalog.text",
							  relation);
}

bool
BreakdownIsArray(const char *expression, Relation relation)
{
	Expr *compiled = compile_expression(expression, "", relation);

	return OidIsValid(get_element_type(getBaseType(exprType((Node *) compiled))));
}

char *
BreakdownMetadataSql(const char *member)
{
	return psprintf("metadata->>%s", quote_literal_cstr(member));
}

/*
 * Callback: the definition of the relation, or a breakdown, may have changed
 */
static void
forget_list_of_relation(Datum arg, Oid relation)
{
	if (OidIsValid(relation) && relation != breakdowns_oid &&
		(cached_list == NULL || relation != cached_list->relation))
		return;
	invalidations++;
	cached_list = NULL;
}

/*
 * Callback: a function that an expression calls may have changed or gone
 */
static void
forget_list_of_functions(Datum arg, int cache_id, uint32 hash)
{
	invalidations++;
	cached_list = NULL;
}

/*
 * Compile for the trigger. If something that the expression uses is gone, that is no fault of
 * the events: the ERROR has a code for which they are tried again later, not refused.
 */
static Expr *
compile_for_insert(const Breakdown *breakdown, const char *expression, bool is_array,
				   Relation relation)
{
	MemoryContext caller = CurrentMemoryContext;
	Expr *volatile result = NULL;

	PG_TRY();
	{
		result = BreakdownCompile(expression, is_array, relation);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("breakdown \"%s\" cannot be evaluated: %s", breakdown->name, error->message),
			 errhint("Mend what its expression uses, or drop it with fi_drop_breakdown().")));
	}
	PG_END_TRY();
	return result;
}

/*
 * Read and compile the breakdowns, in the current memory context
 */
static BreakdownList *
compile_list(Relation relation)
{
	BreakdownList *list;

	breakdowns_oid = OwnTable("breakdowns");
	PushActiveSnapshot(GetLatestSnapshot());
	list = BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN);
	PopActiveSnapshot();
	list->relation = RelationGetRelid(relation);
	list->event_name = EventColumn(relation, "event_name", TEXTOID);
	list->user_id = EventColumn(relation, "user_id", TEXTOID);
	list->ts = EventColumn(relation, "ts", TIMESTAMPTZOID);
	for (int i = 0; i < list->n; i++)
	{
		Breakdown *item = &list->items[i];

		item->key = compile_for_insert(item, item->key_sql, item->is_array, relation);
		if (item->scope_sql != NULL)
			item->scope = compile_for_insert(item, item->scope_sql, false, relation);
	}
	return list;
}

const BreakdownList *
BreakdownsFor(Relation relation)
{
	MemoryContext caller;
	BreakdownList *list;
	uint64 generation;

	if (cached_list != NULL && cached_list->relation == RelationGetRelid(relation))
		return cached_list;

	if (cache_context == NULL)
	{
		cache_context = AllocSetContextCreate(CacheMemoryContext, "fast_ingest breakdowns",
											  ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(forget_list_of_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, forget_list_of_functions, (Datum) 0);
	}
	do
	{
		cached_list = NULL;
		MemoryContextReset(cache_context);
		generation = invalidations;
		caller = MemoryContextSwitchTo(cache_context);
		list = compile_list(relation);
		MemoryContextSwitchTo(caller);
		/* an invalidation during the reading means that it must be read again */
	} while (generation != invalidations);
	cached_list = list;
	return cached_list;
}

const Breakdown *
BreakdownByName(const BreakdownList *list, const char *name)
{
	for (int i = 0; i < list->n; i++)
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	return NULL;
}

const Breakdown *
BreakdownBuiltIn(const BreakdownList *list, int id)
{
	const Breakdown *breakdown = BreakdownById(list, id);

	if (breakdown == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("fast_ingest.breakdowns has lost its row with id %d", id)));
	return breakdown;
}

const Breakdown *
BreakdownById(const BreakdownList *list, int id)
{
	for (int i = 0; i < list->n; i++)
		if (list->items[i].id == id)
			return &list->items[i];
	return NULL;
}
