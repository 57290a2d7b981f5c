/*
 * parameter_table.c
 */
#include "postgres.h"

#include "query/parameters/parameter_table.h"

#include "lib/stringinfo.h"

#include "query/parameters/parameter_values.h"
#include "query/parameters/value_list.h"

#define FILTERS_EXPECTED \
	", or as a filter channel, site, page, campaign_id, path, tag, metadata.<member> or a " \
	"breakdown made by fi_add_breakdown()"

/*
 * Find the next parameter of a list; false at its end. A parameter without a value is an
 * error. A parameter without a name is not: the caller reports it as unknown.
 */
static bool
find_next(const char **next, const char *end, const char **name, const char **value)
{
	if (*next >= end)
		return false;
	*name = *next;
	*value = *name + strlen(*name) + 1;
	*next = *value + strlen(*value) + 1;
	if (**value == '\0' && **name != '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is empty: expected a value, or no %s", *name, *name)));
	return true;
}

void
ParameterTableRefuse(const ParameterTable *table, const char *name)
{
	StringInfoData expected;

	initStringInfo(&expected);
	if (table->n == 0)
		appendStringInfoString(&expected, "none");
	for (int i = 0; i < table->n; i++)
		appendStringInfo(&expected, "%s%s",
						 i == 0								  ? ""
						 : i < table->n - 1 || table->filters ? ", "
															  : " and ",
						 table->parameters[i].name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown parameter \"%s\": expected %s%s", name, expected.data,
						   table->filters ? FILTERS_EXPECTED : "")));
}

/*
 * Read the values of a filter
 */
static MetricsFilter
read_filter(const char *name, const char *value)
{
	int n = 0;
	const char **values;
	char *text = palloc(strlen(value) + 1); /* all values, each with its NUL */
	int most = 1;

	for (const char *comma = value; (comma = strchr(comma, ',')) != NULL; comma++)
		most++;
	values = palloc(most * sizeof(char *));
	for (const char *rest = value; rest != NULL;)
	{
		const char *expected = ValueListNext(&rest, text);

		if (expected != NULL)
			ParameterRefuse(name, value, expected);
		values[n++] = text;
		text += strlen(text) + 1;
	}
	return (MetricsFilter){name, n, values};
}

/*
 * Add a filter to a query
 */
static void
add_filter(MetricsQuery *query, MetricsFilter filter)
{
	MetricsFilter *filters = palloc((query->nfilters + 1) * sizeof(MetricsFilter));

	for (int i = 0; i < query->nfilters; i++)
		filters[i] = query->filters[i];
	filters[query->nfilters++] = filter;
	query->filters = filters;
}

static const Parameter *
find_parameter(const ParameterTable *table, const char *name)
{
	for (int i = 0; i < table->n; i++)
		if (strcmp(table->parameters[i].name, name) == 0)
			return &table->parameters[i];
	return NULL;
}

void
ParameterTableRead(const ParameterTable *table, const char *list, size_t len, void *structure,
				   MetricsQuery *query)
{
	const char *end = list + len;
	const char *name;
	const char *value;

	while (find_next(&list, end, &name, &value))
	{
		const Parameter *parameter = find_parameter(table, name);

		if (parameter != NULL)
			parameter->read(name, value, (char *) structure + parameter->offset);
		else if (table->filters && name[0] != '\0')
			add_filter(query, read_filter(name, value));
		else
			ParameterTableRefuse(table, name);
	}
}
