/*
 * request_parameters.c
 *
 * Reads the parameters of GET /metrics and GET /stats. Links without a server.
 */
#include "postgres.h"

#include "query/request_parameters.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/unix_time.h"
#include "event/timestamp.h"

#define METRICS_PARAMETERS \
	"event_name, from, to, group_by, channel, timezone, fill, limit, cursor and format"
#define STATS_PARAMETERS "site_id, date and limit"

void
ParameterRefuse(const char *name, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not allowed: expected %s", name, value, expected)));
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

/*
 * Read a time as clients write it: see TimestampRead
 */
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

static int
read_limit(const char *value)
{
	size_t len = strlen(value);
	long limit = len <= 10 && strspn(value, "0123456789") == len ? strtol(value, NULL, 10) : 0;

	if (limit < 1 || limit > PG_INT32_MAX)
		ParameterRefuse("limit", value, "a whole number from 1 to 2147483647");
	return (int) limit;
}

/*
 * Read "fill": true or false
 */
static bool
read_fill(const char *value)
{
	bool fill;

	if (!parse_bool(value, &fill))
		ParameterRefuse("fill", value, "true or false");
	return fill;
}

/*
 * Read "format"; is it CSV?
 */
static bool
read_csv(const char *value)
{
	bool csv = strcmp(value, "csv") == 0;

	if (!csv && strcmp(value, "json") != 0)
		ParameterRefuse("format", value, "json or csv");
	return csv;
}

/*
 * Read "date", a day that exists
 */
static DateADT
read_date(const char *value)
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
		ParameterRefuse("date", value, "YYYY-MM-DD");
	date = date2j(year, month, day);
	j2date(date, &same_year, &same_month, &same_day);
	if (year != same_year || month != same_month || day != same_day)
		ParameterRefuse("date", value, "a day that exists, as YYYY-MM-DD");
	return date - POSTGRES_EPOCH_JDATE;
}

/*
 * Set one parameter of GET /metrics; false if it has none of that name
 */
static bool
set_metrics_parameter(MetricsParameters *parameters, const char *name, const char *value)
{
	MetricsQuery *query = &parameters->query;

	if (strcmp(name, "event_name") == 0)
		query->event_name = value;
	else if (strcmp(name, "from") == 0)
	{
		query->has_from = true;
		query->from = read_time(name, value);
	}
	else if (strcmp(name, "to") == 0)
	{
		query->has_to = true;
		query->to = read_time(name, value);
	}
	else if (strcmp(name, "group_by") == 0)
		query->group_by = value;
	else if (strcmp(name, "channel") == 0)
		query->channel = value;
	else if (strcmp(name, "timezone") == 0)
		query->timezone = value;
	else if (strcmp(name, "fill") == 0)
		query->fill = read_fill(value);
	else if (strcmp(name, "limit") == 0)
		parameters->limit = read_limit(value);
	else if (strcmp(name, "cursor") == 0)
		parameters->cursor = value;
	else if (strcmp(name, "format") == 0)
		parameters->csv = read_csv(value);
	else
		return false;
	return true;
}

/*
 * Set one parameter of GET /stats; false if it has none of that name
 */
static bool
set_stats_parameter(StatsParameters *parameters, const char *name, const char *value)
{
	if (strcmp(name, "site_id") == 0)
		parameters->site_id = value;
	else if (strcmp(name, "date") == 0)
		parameters->date = read_date(value);
	else if (strcmp(name, "limit") == 0)
		parameters->limit = read_limit(value);
	else
		return false;
	return true;
}

/*
 * Find the next parameter of a list; false at its end. A parameter without a value is an
 * error. A parameter without a name is not: the caller reports it as unknown.
 */
static bool
find_next_parameter(const char **next, const char *end, const char **name, const char **value)
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

pg_noreturn static void refuse_unknown(const char *name, const char *expected);

static void
refuse_unknown(const char *name, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown parameter \"%s\": expected %s", name, expected)));
}

void
MetricsParametersRead(MetricsParameters *parameters, const char *list, size_t len)
{
	static const MetricsNames names = {"from", "to", "timezone"};
	const char *end = list + len;
	const char *name;
	const char *value;

	*parameters = (MetricsParameters){.query = {.names = &names, .fill = true}};
	while (find_next_parameter(&list, end, &name, &value))
		if (!set_metrics_parameter(parameters, name, value))
			refuse_unknown(name, METRICS_PARAMETERS);
}

void
StatsParametersRead(StatsParameters *parameters, const char *list, size_t len)
{
	const char *end = list + len;
	const char *name;
	const char *value;

	*parameters = (StatsParameters){.date = UtcDay(GetCurrentTransactionStartTimestamp()),
									.limit = DEFAULT_PATHS};
	while (find_next_parameter(&list, end, &name, &value))
		if (!set_stats_parameter(parameters, name, value))
			refuse_unknown(name, STATS_PARAMETERS);
}
