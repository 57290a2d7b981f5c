/*
 * write_csv.c
 */
#include "postgres.h"

#include "query/answers/write_csv.h"

/*
 * Would a spreadsheet take this for a formula? Some spreadsheets skip leading blanks, and
 * some also accept the full-width forms of = + - @.
 */
static bool
looks_like_formula(const char *value)
{
	static const char *const full_width[] = {"\xEF\xBC\x9D", "\xEF\xBC\x8B", "\xEF\xBC\x8D",
											 "\xEF\xBC\xA0"}; /* = + - @ */

	if (value[0] != '\0' && strchr("\t\r\n", value[0]) != NULL)
		return true;
	while (*value > '\0' && *value <= ' ')
		value++;
	for (int i = 0; i < (int) lengthof(full_width); i++)
		if (strncmp(value, full_width[i], strlen(full_width[i])) == 0)
			return true;
	return value[0] != '\0' && strchr("=+-@", value[0]) != NULL;
}

void
WriteCsvText(StringInfo text, const char *value)
{
	const char *protection;

	if (value == NULL)
		return;
	protection = looks_like_formula(value) ? "'" : "";
	if (value[strcspn(value, ",;\t\"\r\n")] == '\0')
	{
		appendStringInfo(text, "%s%s", protection, value);
		return;
	}
	appendStringInfo(text, "\"%s", protection);
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '"')
			appendStringInfoChar(text, '"');
		appendStringInfoChar(text, *c);
	}
	appendStringInfoChar(text, '"');
}

void
WriteCsvBool(StringInfo text, bool value)
{
	appendStringInfoString(text, value ? ",true" : ",false");
}

void
WriteCsvCounts(StringInfo text, int64 total_events, int64 unique_users)
{
	appendStringInfo(text, "," INT64_FORMAT "," INT64_FORMAT, total_events, unique_users);
}
