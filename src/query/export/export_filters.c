/*
 * export_filters.c
 *
 * A value is compared as text, and quoted as a literal: what a client sends is never a part of a
 * statement.
 */
#include "postgres.h"

#include "query/export/export_filters.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "rollup/metrics/filter_condition.h"

/*
 * Append an array of text with the values of a filter
 */
static void
append_values(StringInfo statement, const MetricsFilter *filter)
{
	appendStringInfoString(statement, "ARRAY[");
	for (int i = 0; i < filter->nvalues; i++)
		appendStringInfo(statement, "%s%s", i > 0 ? "," : "",
						 quote_literal_cstr(filter->values[i]));
	appendStringInfoString(statement, "]::text[]");
}

void
ExportFiltersAppend(StringInfo statement, const MetricsQuery *query)
{
	const BreakdownList *breakdowns =
		query->nfilters > 0 ? BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN) : NULL;

	for (int i = 0; i < query->nfilters; i++)
	{
		const MetricsFilter *filter = &query->filters[i];
		EventCondition condition = FilterCondition(filter, breakdowns);

		/* a breakdown's expression may end with a comment */
		if (condition.is_array)
			appendStringInfo(statement, " AND (%s\n)::text[] && ", condition.sql);
		else
			appendStringInfo(statement, " AND (%s\n)::text = ANY (", condition.sql);
		append_values(statement, filter);
		if (!condition.is_array)
			appendStringInfoChar(statement, ')');
	}
}
