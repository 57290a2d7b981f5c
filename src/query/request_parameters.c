/*
 * request_parameters.c
 *
 * Reads the parameters of requests.
 */
#include "postgres.h"

#include "query/request_parameters.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "event/timestamp.h"

#define METRICS_PARAMETERS \
	"event_name, from, to, group_by, channel, timezone, fill, limit, cursor and format"
#define STATS_PARAMETERS "site_id, date and limit"

void
RequestRefuse(const char *name, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not allowed: expected %s", name, value, expected)));
}

/*
 * The "+" of an offset from UTC is a space in a URL where it is not escaped. It is the last
 * one, and not the first one where that stands between date and time.
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
	TimestampTz time;
	const char *wrong;

	if (!MetricsParseTime(restore_plus(value), &time, &wrong))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s \"%s\" %s: expected " TIMESTAMP_EXPECTED, name, value, wrong)));
	return time;
}

static int
read_limit(const char *value)
{
	size_t len = strlen(value);
	long limit = len <= 10 && strspn(value, "0123456789") == len ? strtol(value, NULL, 10) : 0;

	if (limit < 1 || limit > PG_INT32_MAX)
		RequestRefuse("limit", value, "a whole number from 1 to 2147483647");
	return (int) limit;
}

static bool
read_fill(const char *value)
{
	bool fill;

	if (!parse_bool(value, &fill))
		RequestRefuse("fill", value, "true or false");
	return fill;
}

static bool
read_csv(const char *value)
{
	bool csv = strcmp(value, "csv") == 0;

	if (!csv && strcmp(value, "json") != 0)
		RequestRefuse("format", value, "json or csv");
	return csv;
}

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
		RequestRefuse("date", value, "YYYY-MM-DD");
	date = date2j(year, month, day);
	j2date(date, &same_year, &same_month, &same_day);
	if (year != same_year || month != same_month || day != same_day)
		RequestRefuse("date", value, "a day that exists, as YYYY-MM-DD");
	return date - POSTGRES_EPOCH_JDATE;
}

/*
 * Take one parameter; false if there is none of that name
 */
static bool
take_metrics_parameter(MetricsRequest *request, const char *name, const char *value)
{
	MetricsQuery *query = &request->query;

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
		request->limit = read_limit(value);
	else if (strcmp(name, "cursor") == 0)
		request->cursor = value;
	else if (strcmp(name, "format") == 0)
		request->csv = read_csv(value);
	else
		return false;
	return true;
}

static bool
take_stats_parameter(StatsRequest *request, const char *name, const char *value)
{
	if (strcmp(name, "site_id") == 0)
		request->site_id = value;
	else if (strcmp(name, "date") == 0)
		request->date = read_date(value);
	else if (strcmp(name, "limit") == 0)
		request->limit = read_limit(value);
	else
		return false;
	return true;
}

/*
 * The next parameter of a list; false at its end
 */
static bool
next_parameter(const char **p, const char *end, const char **name, const char **value)
{
	if (*p >= end)
		return false;
	*name = *p;
	*value = *name + strlen(*name) + 1;
	*p = *value + strlen(*value) + 1;
	if (**value == '\0' && **name != '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is empty: expected a value, or no %s", *name, *name)));
	return true;
}

pg_noreturn static void refuse_unknown(const char *name, const char *allowed);

static void
refuse_unknown(const char *name, const char *allowed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown parameter \"%s\": expected %s", name, allowed)));
}

void
MetricsRequestRead(MetricsRequest *request, const char *parameters, size_t len)
{
	static const MetricsNames names = {"from", "to", "timezone"};
	const char *end = parameters + len;
	const char *name;
	const char *value;

	*request = (MetricsRequest){.query = {.names = &names, .fill = true}};
	while (next_parameter(&parameters, end, &name, &value))
		if (!take_metrics_parameter(request, name, value))
			refuse_unknown(name, METRICS_PARAMETERS);
}

void
StatsRequestRead(StatsRequest *request, const char *parameters, size_t len)
{
	const char *end = parameters + len;
	const char *name;
	const char *value;

	*request = (StatsRequest){.date = UtcDay(GetCurrentTransactionStartTimestamp()),
							  .limit = DEFAULT_PATHS};
	while (next_parameter(&parameters, end, &name, &value))
		if (!take_stats_parameter(request, name, value))
			refuse_unknown(name, STATS_PARAMETERS);
}
