/*
 * list_breakdowns.c
 *
 * fi_breakdowns(): what metrics can be broken down by.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "rollup/breakdown/breakdown.h"

PG_FUNCTION_INFO_V1(fi_breakdowns);

enum
{
	LIST_NAME,
	LIST_EXPRESSION,
	LIST_LEVELS,
	LIST_MAX_KEYS,
	LIST_PER_SITE,
	LIST_FINE_DAYS,
	NUM_LIST_COLUMNS
};

/*
 * The levels as fi_add_breakdown() takes them, the finest first
 */
static Datum
make_levels(const Breakdown *breakdown)
{
	static const char *const names[] = {"minute", "hour", "day"};
	Datum levels[lengthof(names)];
	int n = 0;

	for (int level = breakdown->finest; level <= LEVEL_DAY; level++)
		levels[n++] = CStringGetTextDatum(level == LEVEL_MINUTE && breakdown->width == QUARTER_WIDTH
											  ? "quarter"
											  : names[level - LEVEL_MINUTE]);
	return PointerGetDatum(construct_array(levels, n, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
fi_breakdowns(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SavedUser user = ActAsRollupOwner();
	BreakdownList *list = BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN);

	ActAsCallerAgain(user);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < list->n; i++)
	{
		const Breakdown *breakdown = &list->items[i];
		Datum values[NUM_LIST_COLUMNS];
		bool isnull[NUM_LIST_COLUMNS] = {0};

		values[LIST_NAME] = CStringGetTextDatum(breakdown->name);
		values[LIST_EXPRESSION] = CStringGetTextDatum(breakdown->key_sql);
		values[LIST_LEVELS] = make_levels(breakdown);
		values[LIST_MAX_KEYS] = Int32GetDatum(breakdown->max_keys);
		values[LIST_PER_SITE] = BoolGetDatum(breakdown->scope_sql != NULL);
		values[LIST_FINE_DAYS] = Int32GetDatum(breakdown->fine_days);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}
