/*
 * value_list.c
 */
#include "query/parameters/value_list.h"

const char *
ValueListNext(const char **list, char *value)
{
	const char *in = *list;
	char *out = value;

	for (; *in != '\0' && *in != ','; in++)
	{
		if (*in == '\\' && *++in != ',' && *in != '\\')
			return "\\\\ for a backslash, and \\, for a comma that is part of a value";
		*out++ = *in;
	}
	*out = '\0';
	*list = *in == ',' ? in + 1 : NULL;
	return out == value ? "values with commas between them, and \\, for a comma that is part of one"
						: NULL;
}
