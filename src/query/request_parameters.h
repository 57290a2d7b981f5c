/*
 * request_parameters.h
 *
 * The parameters of GET /metrics and GET /stats. A parameter that is not allowed is an
 * error 22023 whose message names the parameter, its value and what is expected.
 */
#ifndef FAST_INGEST_REQUEST_PARAMETERS_H
#define FAST_INGEST_REQUEST_PARAMETERS_H

#include "base/compat.h"
#include "rollup/metrics/metrics.h"

typedef struct
{
	MetricsQuery query; /* its event_name is NULL if not given */
	int limit;			/* most groups of a page; 0: not given */
	const char *cursor; /* where the page begins; NULL: at the first group */
	bool csv;			/* the answer is CSV, not JSON */
} MetricsParameters;

typedef struct
{
	const char *site_id; /* NULL: not given */
	DateADT date;
	int limit; /* most paths */
} StatsParameters;

/*
 * Read a list of parameters, name NUL value NUL ..., that is len bytes long. Texts of
 * the result point into the list. An error 22023 for a parameter that is unknown, empty
 * or of a wrong value.
 */
extern void MetricsParametersRead(MetricsParameters *parameters, const char *list, size_t len);
extern void StatsParametersRead(StatsParameters *parameters, const char *list, size_t len);

/* Raise the error 22023 for a value that is not allowed. */
pg_noreturn extern void ParameterRefuse(const char *name, const char *value, const char *expected);

#endif
