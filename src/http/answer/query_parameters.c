/*
 * query_parameters.c
 *
 * Checks parameters and puts them together.
 */
#include "postgres.h"

#include "http/answer/query_parameters.h"

#include "mb/pg_wchar.h"

bool
ParametersAreText(const char *data, size_t len)
{
	return len == 0 || (memchr(data, '\0', len) == NULL &&
						pg_encoding_verifymbstr(PG_UTF8, data, (int) len) == (int) len);
}

static bool
is_given(const Parameters *parameters, const char *name)
{
	const char *p = parameters->text.data;

	for (int i = 0; i < parameters->n; i++)
	{
		if (strcmp(p, name) == 0)
			return true;
		p += strlen(p) + 1; /* to the value */
		p += strlen(p) + 1;
	}
	return false;
}

bool
ParametersAdd(Parameters *parameters, const char *name, size_t name_len, const char *value,
			  size_t value_len)
{
	int len;

	if (value == NULL)
		value_len = 0;
	if (!ParametersAreText(name, name_len))
	{
		strlcpy(parameters->name, "?", sizeof(parameters->name));
		parameters->error = "its name is not text in UTF-8";
		return false;
	}
	/* cut at a character boundary */
	len = pg_encoding_mbcliplen(PG_UTF8, name, (int) name_len, sizeof(parameters->name) - 1);
	memcpy(parameters->name, name, len);
	parameters->name[len] = '\0';

	if (parameters->n == MAX_PARAMETERS)
		parameters->error =
			"it is one of too many: at most " CppAsString2(MAX_PARAMETERS) " are allowed";
	else if (!ParametersAreText(value, value_len))
		parameters->error = "its value is not text in UTF-8";
	else if (is_given(parameters, name))
		parameters->error = "it is given more than once";
	else if (strcmp(name, "key") == 0) /* query workers show what they do; keys are secret */
		parameters->error = "an API key goes into the header Authorization or X-API-Key";
	if (parameters->error != NULL)
		return false;

	appendBinaryStringInfo(&parameters->text, name, (int) name_len + 1);
	if (value_len > 0)
		appendBinaryStringInfo(&parameters->text, value, (int) value_len);
	appendStringInfoChar(&parameters->text, '\0');
	parameters->n++;
	return true;
}
