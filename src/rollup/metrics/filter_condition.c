/*
 * filter_condition.c
 */
#include "postgres.h"

#include "rollup/metrics/filter_condition.h"

#include "lib/stringinfo.h"

#define METADATA_PREFIX "metadata."

/* Filters on columns; others are on a breakdown or on a member of metadata. */
static const struct
{
	const char *name;
	const char *sql;
	bool is_array;
} columns[] = {{"channel", "channel", false},
			   {"campaign_id", "campaign_id", false},
			   {"path", "path", false},
			   {"tag", "tags", true}};

/*
 * List what a filter may be named, for an error
 */
static char *
list_filters(const BreakdownList *breakdowns)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < (int) lengthof(columns); i++)
		appendStringInfo(&list, "%s, ", columns[i].name);
	for (int i = 0; i < breakdowns->n; i++)
		if (strcmp(breakdowns->items[i].name, "channel") != 0)
			appendStringInfo(&list, "%s, ", breakdowns->items[i].name);
	appendStringInfoString(&list, METADATA_PREFIX "<member>");
	return list.data;
}

EventCondition
FilterCondition(const MetricsFilter *filter, const BreakdownList *breakdowns)
{
	EventCondition condition = {.nvalues = filter->nvalues, .values = filter->values};
	const Breakdown *breakdown = BreakdownByName(breakdowns, filter->name);
	size_t prefix = strlen(METADATA_PREFIX);

	if (breakdown != NULL)
	{
		condition.sql = breakdown->key_sql;
		condition.is_array = breakdown->is_array;
		return condition;
	}
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (strcmp(filter->name, columns[i].name) == 0)
		{
			condition.sql = columns[i].sql;
			condition.is_array = columns[i].is_array;
			return condition;
		}
	if (strncmp(filter->name, METADATA_PREFIX, prefix) != 0 || filter->name[prefix] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("filter \"%s\" is not valid: expected %s", filter->name,
						list_filters(breakdowns)),
				 strcmp(filter->name, "event") == 0 || strcmp(filter->name, "event_name") == 0
					 ? errhint("event_name is an argument of its own.")
					 : 0));
	condition.sql = BreakdownMetadataSql(filter->name + prefix);
	return condition;
}
