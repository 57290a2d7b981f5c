/*
 * filters.c
 */
#include "postgres.h"

#include "query/parameters/filters.h"

#include "utils/snapmgr.h"

#include "db/own_tables.h"
#include "rollup/metrics/filter_condition.h"

void
FiltersRequireKnown(const ParameterTable *table, const MetricsQuery *query)
{
	BreakdownList *breakdowns = NULL;

	for (int i = 0; i < query->nfilters; i++)
	{
		const char *name = query->filters[i].name;

		if (FilterIsBuiltIn(name))
			continue;
		if (breakdowns == NULL)
		{
			LockEventsTable();
			breakdowns = BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN);
		}
		if (BreakdownByName(breakdowns, name) == NULL)
			ParameterTableRefuse(table, name);
	}
}
