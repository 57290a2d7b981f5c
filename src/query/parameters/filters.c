/*
 * filters.c
 */
#include "postgres.h"

#include "query/parameters/filters.h"

#include "utils/snapmgr.h"

#include "db/own_tables.h"
#include "rollup/breakdown/breakdown.h"

#define METADATA_FILTER "metadata."

/*
 * Is a filter known whatever breakdowns there are?
 */
static bool
is_always_known(const char *name)
{
	static const char *const known[] = {"channel", "site", "page", "campaign_id", "path", "tag"};

	for (int i = 0; i < (int) lengthof(known); i++)
		if (strcmp(name, known[i]) == 0)
			return true;
	return strncmp(name, METADATA_FILTER, strlen(METADATA_FILTER)) == 0 &&
		   name[strlen(METADATA_FILTER)] != '\0';
}

void
FiltersRequireKnown(const ParameterTable *table, const MetricsQuery *query)
{
	BreakdownList *breakdowns = NULL;

	for (int i = 0; i < query->nfilters; i++)
	{
		const char *name = query->filters[i].name;

		if (is_always_known(name))
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
