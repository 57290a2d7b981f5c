/*
 * request_parameters.c
 *
 * One table for each route. Links without a server.
 */
#include "postgres.h"

#include "query/parameters/request_parameters.h"

#include "access/xact.h"

#include "query/parameters/parameter_values.h"
#include "rollup/questions/live.h"

static const MetricsNames names = {"from", "to", "timezone"};
static const MetricsNames compare_names = {"compare_from", "compare_to", "timezone"};

static const Parameter metrics[] = {
	{"event_name", ParameterReadText, offsetof(MetricsParameters, query.event_name)},
	{"from", ParameterReadFrom, offsetof(MetricsParameters, query)},
	{"to", ParameterReadTo, offsetof(MetricsParameters, query)},
	{"group_by", ParameterReadText, offsetof(MetricsParameters, query.group_by)},
	{"timezone", ParameterReadText, offsetof(MetricsParameters, query.timezone)},
	{"week_start", ParameterReadWeekStart, offsetof(MetricsParameters, query.sunday)},
	{"fill", ParameterReadBool, offsetof(MetricsParameters, query.fill)},
	{"align", ParameterReadBool, offsetof(MetricsParameters, query.align)},
	{"limit", ParameterReadLimit, offsetof(MetricsParameters, limit)},
	{"cursor", ParameterReadText, offsetof(MetricsParameters, cursor)},
	{"format", ParameterReadFormat, offsetof(MetricsParameters, csv)},
};

static const Parameter series[] = {
	{"event_name", ParameterReadText, offsetof(SeriesParameters, query.metrics.event_name)},
	{"from", ParameterReadFrom, offsetof(SeriesParameters, query.metrics)},
	{"to", ParameterReadTo, offsetof(SeriesParameters, query.metrics)},
	{"step", ParameterReadText, offsetof(SeriesParameters, query.step)},
	{"group_by", ParameterReadText, offsetof(SeriesParameters, query.metrics.group_by)},
	{"top", ParameterReadSeriesTop, offsetof(SeriesParameters, query.top)},
	{"timezone", ParameterReadText, offsetof(SeriesParameters, query.metrics.timezone)},
	{"week_start", ParameterReadWeekStart, offsetof(SeriesParameters, query.metrics.sunday)},
	{"fill", ParameterReadBool, offsetof(SeriesParameters, query.metrics.fill)},
	{"align", ParameterReadBool, offsetof(SeriesParameters, query.metrics.align)},
	{"format", ParameterReadFormat, offsetof(SeriesParameters, csv)},
};

static const Parameter overview[] = {
	{"event_name", ParameterReadText, offsetof(OverviewParameters, query.metrics.event_name)},
	{"from", ParameterReadFrom, offsetof(OverviewParameters, query.metrics)},
	{"to", ParameterReadTo, offsetof(OverviewParameters, query.metrics)},
	{"step", ParameterReadText, offsetof(OverviewParameters, query.step)},
	{"timezone", ParameterReadText, offsetof(OverviewParameters, query.metrics.timezone)},
	{"week_start", ParameterReadWeekStart, offsetof(OverviewParameters, query.metrics.sunday)},
	{"compare_from", ParameterReadFrom, offsetof(OverviewParameters, compare)},
	{"compare_to", ParameterReadTo, offsetof(OverviewParameters, compare)},
	{"top", ParameterReadCardRows, offsetof(OverviewParameters, top)},
	{"cards", ParameterReadText, offsetof(OverviewParameters, cards)},
	{"slow_cards", ParameterReadBool, offsetof(OverviewParameters, slow_cards)},
};

static const Parameter event_names[] = {
	{"from", ParameterReadFrom, offsetof(EventNamesParameters, query)},
	{"to", ParameterReadTo, offsetof(EventNamesParameters, query)},
	{"format", ParameterReadFormat, offsetof(EventNamesParameters, csv)},
};

static const Parameter live[] = {
	{"site", ParameterReadSite, offsetof(LiveParameters, site)},
	{"top", ParameterReadLiveTop, offsetof(LiveParameters, top)},
};

static const Parameter stats[] = {
	{"site_id", ParameterReadText, offsetof(StatsParameters, site_id)},
	{"date", ParameterReadDate, offsetof(StatsParameters, date)},
	{"limit", ParameterReadLimit, offsetof(StatsParameters, limit)},
};

const ParameterTable MetricsParameterTable = {metrics, lengthof(metrics), true};
const ParameterTable SeriesParameterTable = {series, lengthof(series), true};
const ParameterTable OverviewParameterTable = {overview, lengthof(overview), true};
const ParameterTable EventNamesParameterTable = {event_names, lengthof(event_names), true};
static const ParameterTable live_table = {live, lengthof(live), false};
static const ParameterTable stats_table = {stats, lengthof(stats), false};

void
MetricsParametersRead(MetricsParameters *parameters, const char *list, size_t len)
{
	*parameters = (MetricsParameters){.query = {.names = &names, .fill = true}};
	ParameterTableRead(&MetricsParameterTable, list, len, parameters, &parameters->query);
}

void
SeriesParametersRead(SeriesParameters *parameters, const char *list, size_t len)
{
	*parameters =
		(SeriesParameters){.query = {.metrics = {.names = &names, .fill = true, .align = true},
									 .step = "auto",
									 .top = DEFAULT_SERIES_TOP}};
	ParameterTableRead(&SeriesParameterTable, list, len, parameters, &parameters->query.metrics);
}

void
OverviewParametersRead(OverviewParameters *parameters, const char *list, size_t len)
{
	*parameters = (OverviewParameters){.query = {.metrics = {.names = &names, .fill = true},
												 .step = "auto",
												 .top = DEFAULT_SERIES_TOP},
									   .compare = {.names = &compare_names},
									   .top = DEFAULT_CARD_ROWS,
									   .slow_cards = true};
	ParameterTableRead(&OverviewParameterTable, list, len, parameters, &parameters->query.metrics);
}

void
EventNamesParametersRead(EventNamesParameters *parameters, const char *list, size_t len)
{
	*parameters = (EventNamesParameters){.query = {.names = &names}};
	ParameterTableRead(&EventNamesParameterTable, list, len, parameters, &parameters->query);
}

void
LiveParametersRead(LiveParameters *parameters, const char *list, size_t len)
{
	*parameters = (LiveParameters){.top = DEFAULT_LIVE_TOP};
	ParameterTableRead(&live_table, list, len, parameters, NULL);
}

void
StatsParametersRead(StatsParameters *parameters, const char *list, size_t len)
{
	*parameters = (StatsParameters){.date = UtcDay(GetCurrentTransactionStartTimestamp()),
									.limit = DEFAULT_PATHS};
	ParameterTableRead(&stats_table, list, len, parameters, NULL);
}
