/*
 * filter_json.c
 *
 * Reads filters that are written as JSON.
 */
#include "postgres.h"

#include "rollup/questions/filter_json.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/compat.h"

#define METADATA "metadata"
#define EXPECTED_VALUE "text, a number, a boolean, or an array of these that is not empty"

pg_noreturn static void refuse_value(const char *name, const char *found, const char *expected);

static void
refuse_value(const char *name, const char *found, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("filter \"%s\" is %s: expected %s", name, found, expected)));
}

/*
 * Say what a value is, for an error
 */
static const char *
describe_value(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data)	? "an object"
				   : JsonContainerSize(value->val.binary.data) == 0 ? "an empty array"
																	: "an array";
		default:
			return "a value";
	}
}

/*
 * Get the text of a value, as the operator ->> gives it; NULL if it is null or not a scalar
 */
static const char *
get_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		default:
			return NULL;
	}
}

static void
append_filter(MetricsQuery *query, const char *name, const char **values, int nvalues)
{
	MetricsFilter *filters = palloc((query->nfilters + 1) * sizeof(MetricsFilter));

	if (query->nfilters > 0)
		memcpy(filters, query->filters, query->nfilters * sizeof(MetricsFilter));
	filters[query->nfilters++] = (MetricsFilter){name, nvalues, values};
	query->filters = filters;
}

static void
add_member(MetricsQuery *query, const char *name, JsonbValue *value)
{
	int most = 1;
	int n = 0;
	const char **values;

	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		most = JsonContainerSize(value->val.binary.data);
	values = palloc(Max(most, 1) * sizeof(char *));
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		for (uint32 i = 0; i < (uint32) most; i++)
		{
			JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);

			values[n] = get_text(element);
			if (values[n++] == NULL)
				refuse_value(name, psprintf("an array with %s", describe_value(element)),
							 EXPECTED_VALUE);
		}
	}
	else
	{
		values[0] = get_text(value);
		n = values[0] != NULL;
	}
	if (n == 0)
		refuse_value(name, describe_value(value), EXPECTED_VALUE);
	append_filter(query, name, values, n);
}

/*
 * Add a filter for each member of an object, with a prefix before its name
 */
static void
add_members(MetricsQuery *query, JsonbContainer *object, const char *prefix)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = psprintf("%s%.*s", prefix, value.val.string.len, value.val.string.val);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (strcmp(name, METADATA) != 0)
			add_member(query, name, &value);
		else if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data))
			add_members(query, value.val.binary.data, METADATA ".");
		else
			refuse_value(name, describe_value(&value), "an object");
	}
}

void
FilterJsonAdd(MetricsQuery *query, Jsonb *json)
{
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("filter is not an object: expected one like "
							   "{\"channel\": \"web\", \"metadata\": {\"plan\": \"pro\"}}")));
	add_members(query, &json->root, "");
}

void
FilterAdd(MetricsQuery *query, const char *name, const char *value)
{
	const char **values = palloc(sizeof(char *));

	values[0] = value;
	append_filter(query, name, values, 1);
}
