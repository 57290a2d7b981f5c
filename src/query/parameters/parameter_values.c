/*
 * parameter_values.c
 */
#include "postgres.h"

#include "query/parameters/parameter_values.h"

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

#include "base/unix_time.h"
#include "event/timestamp.h"
#include "query/parameters/value_list.h"
#include "rollup/metrics/metrics.h"
#include "rollup/questions/live.h"
#include "rollup/questions/series.h"

void
ParameterRefuse(const char *name, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not allowed: expected %s", name, value, expected)));
}

void
ParameterReadText(const char *name, const char *value, void *field)
{
	*(const char **) field = value;
}

void
ParameterReadBool(const char *name, const char *value, void *field)
{
	if (!parse_bool(value, field))
		ParameterRefuse(name, value, "true or false");
}

/*
 * Put back the "+" of an offset from UTC: a URL that does not escape it means a space. It is
 * the last space, and digits follow it. A space that separates date and time stays.
 */
static const char *
restore_plus(const char *value)
{
	const char *space = strrchr(value, ' ');
	char *copy;

	if (space == NULL || space[1] == '\0' || value + strcspn(value, "Tt ") == space ||
		strspn(space + 1, "0123456789:") != strlen(space + 1))
		return value;
	copy = pstrdup(value);
	copy[space - value] = '+';
	return copy;
}

static TimestampTz
read_time(const char *name, const char *value)
{
	const char *text = restore_plus(value);
	int64_t unix_time;
	const char *wrong;

	if (!TimestampRead(text, strlen(text), &unix_time, &wrong))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s \"%s\" %s: expected " TIMESTAMP_EXPECTED, name, value, wrong)));
	return unix_time - UNIX_EPOCH_OFFSET;
}

void
ParameterReadFrom(const char *name, const char *value, void *query)
{
	((MetricsQuery *) query)->has_from = true;
	((MetricsQuery *) query)->from = read_time(name, value);
}

void
ParameterReadTo(const char *name, const char *value, void *query)
{
	((MetricsQuery *) query)->has_to = true;
	((MetricsQuery *) query)->to = read_time(name, value);
}

void
ParameterReadWeekStart(const char *name, const char *value, void *field)
{
	bool sunday = strcmp(value, "sunday") == 0;

	if (!sunday && strcmp(value, "monday") != 0)
		ParameterRefuse(name, value, "monday or sunday");
	*(bool *) field = sunday;
}

void
ParameterReadDate(const char *name, const char *value, void *field)
{
	int year;
	int month;
	int day;
	int same_year;
	int same_month;
	int same_day;
	DateADT date;

	if (strlen(value) != 10 || strspn(value, "0123456789-") != 10 ||
		sscanf(value, "%4d-%2d-%2d", &year, &month, &day) != 3 || value[4] != '-' ||
		value[7] != '-' || year < 1)
		ParameterRefuse(name, value, "YYYY-MM-DD");
	date = date2j(year, month, day);
	j2date(date, &same_year, &same_month, &same_day);
	if (year != same_year || month != same_month || day != same_day)
		ParameterRefuse(name, value, "a day that exists, as YYYY-MM-DD");
	*(DateADT *) field = date - POSTGRES_EPOCH_JDATE;
}

void
ParameterReadFormat(const char *name, const char *value, void *field)
{
	bool csv = strcmp(value, "csv") == 0;

	if (!csv && strcmp(value, "json") != 0)
		ParameterRefuse(name, value, "json or csv");
	*(bool *) field = csv;
}

/*
 * Read a whole number from 1 to a most
 */
static int
read_count(const char *name, const char *value, int most)
{
	size_t len = strlen(value);
	long count = len <= 10 && strspn(value, "0123456789") == len ? strtol(value, NULL, 10) : 0;

	if (count < 1 || count > most)
		ParameterRefuse(name, value, psprintf("a whole number from 1 to %d", most));
	return (int) count;
}

void
ParameterReadLimit(const char *name, const char *value, void *field)
{
	*(int *) field = read_count(name, value, PG_INT32_MAX);
}

void
ParameterReadSeriesTop(const char *name, const char *value, void *field)
{
	*(int *) field = read_count(name, value, MAX_SERIES_TOP);
}

void
ParameterReadLiveTop(const char *name, const char *value, void *field)
{
	*(int *) field = read_count(name, value, MAX_LIVE_TOP);
}

void
ParameterReadCardRows(const char *name, const char *value, void *field)
{
	*(int *) field = read_count(name, value, MAX_CARD_ROWS);
}

void
ParameterReadSite(const char *name, const char *value, void *field)
{
	const char *rest = value;
	char *site = palloc(strlen(value) + 1);
	const char *expected = ValueListNext(&rest, site);

	if (expected == NULL && rest != NULL)
		expected = "one website, and \\, for a comma that is part of it";
	if (expected != NULL)
		ParameterRefuse(name, value, expected);
	*(const char **) field = site;
}
