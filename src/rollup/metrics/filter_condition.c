/*
 * filter_condition.c
 */
#include "postgres.h"

#include "rollup/metrics/filter_condition.h"

#include "lib/stringinfo.h"

#define METADATA_PREFIX "metadata."

/* Filters on columns; others are on a breakdown or on a member of metadata. */
typedef struct
{
	const char *name;
	const char *sql;
	bool is_array;
} ColumnFilter;

static const ColumnFilter columns[] = {{"channel", "channel", false},
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

/*
 * Find the filter on a column; NULL if there is none of that name
 */
static const ColumnFilter *
find_column(const char *name)
{
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (strcmp(name, columns[i].name) == 0)
			return &columns[i];
	return NULL;
}

/*
 * The member of metadata that a filter is on; NULL if it is on none
 */
static const char *
find_member(const char *name)
{
	size_t prefix = strlen(METADATA_PREFIX);

	return strncmp(name, METADATA_PREFIX, prefix) == 0 && name[prefix] != '\0' ? name + prefix
																			   : NULL;
}

bool
FilterIsBuiltIn(const char *name)
{
	return find_column(name) != NULL || find_member(name) != NULL || strcmp(name, "site") == 0 ||
		   strcmp(name, "page") == 0;
}

EventCondition
FilterCondition(const MetricsFilter *filter, const BreakdownList *breakdowns)
{
	EventCondition condition = {.nvalues = filter->nvalues, .values = filter->values};
	const Breakdown *breakdown = BreakdownByName(breakdowns, filter->name);
	const ColumnFilter *column = find_column(filter->name);
	const char *member = find_member(filter->name);

	if (breakdown != NULL)
	{
		condition.sql = breakdown->key_sql;
		condition.is_array = breakdown->is_array;
	}
	else if (column != NULL)
	{
		condition.sql = column->sql;
		condition.is_array = column->is_array;
	}
	else if (member != NULL)
		condition.sql = BreakdownMetadataSql(member);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("filter \"%s\" is not valid: expected %s", filter->name,
						list_filters(breakdowns)),
				 strcmp(filter->name, "event") == 0 || strcmp(filter->name, "event_name") == 0
					 ? errhint("event_name is an argument of its own.")
					 : 0));
	return condition;
}
