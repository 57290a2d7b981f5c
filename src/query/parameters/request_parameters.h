/*
 * request_parameters.h
 *
 * The parameters of each route that a query worker answers.
 */
#ifndef FAST_INGEST_REQUEST_PARAMETERS_H
#define FAST_INGEST_REQUEST_PARAMETERS_H

#include "query/parameters/parameter_table.h"
#include "rollup/metrics/metrics.h"
#include "rollup/questions/series.h"
#include "rollup/questions/site_stats.h"

/* GET /metrics */
typedef struct
{
	MetricsQuery query;
	int limit;			/* most groups of a page; 0: not given */
	const char *cursor; /* where the page begins; NULL: at the first group */
	bool csv;			/* the answer is CSV, not JSON */
} MetricsParameters;

/* GET /series */
typedef struct
{
	SeriesQuery query;
	bool csv;
} SeriesParameters;

/* GET /overview */
typedef struct
{
	SeriesQuery query;
	MetricsQuery compare; /* only its range, and what messages call it */
	const char *cards;	  /* a list of names; NULL: all */
	int top;			  /* most rows of a card */
	bool slow_cards;	  /* answer also the cards that take long */
} OverviewParameters;

/* GET /event_names */
typedef struct
{
	MetricsQuery query;
	bool csv;
} EventNamesParameters;

/* GET /live */
typedef struct
{
	const char *site; /* NULL: all */
	int top;		  /* most pages, and most names */
} LiveParameters;

/* GET /stats */
typedef struct
{
	const char *site_id; /* NULL: not given */
	DateADT date;
	int limit; /* most paths */
} StatsParameters;

/*
 * What a filter may be is not known here: see filters.h. The tables are for its refusal.
 */
extern const ParameterTable MetricsParameterTable;
extern const ParameterTable SeriesParameterTable;
extern const ParameterTable OverviewParameterTable;
extern const ParameterTable EventNamesParameterTable;

/*
 * Read a list of parameters as ParameterTableRead does. What is not given has its default.
 */
extern void MetricsParametersRead(MetricsParameters *parameters, const char *list, size_t len);
extern void SeriesParametersRead(SeriesParameters *parameters, const char *list, size_t len);
extern void OverviewParametersRead(OverviewParameters *parameters, const char *list, size_t len);
extern void EventNamesParametersRead(EventNamesParameters *parameters, const char *list,
									 size_t len);
extern void LiveParametersRead(LiveParameters *parameters, const char *list, size_t len);
extern void StatsParametersRead(StatsParameters *parameters, const char *list, size_t len);

#endif
