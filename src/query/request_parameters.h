/*
 * request_parameters.h
 *
 * What a client asks for with GET /metrics and GET /stats. Errors are 22023, with
 * a message that names parameter, value and what is allowed.
 */
#ifndef FAST_INGEST_REQUEST_PARAMETERS_H
#define FAST_INGEST_REQUEST_PARAMETERS_H

#include "base/compat.h"
#include "rollup/metrics/metrics.h"

typedef struct
{
	MetricsQuery query;
	int limit;			/* 0: not given */
	const char *cursor; /* NULL: from the beginning */
	bool csv;
} MetricsRequest;

typedef struct
{
	const char *site_id;
	DateADT date;
	int limit;
} StatsRequest;

/* Read parameters, which are n times name NUL value NUL. Texts are not copied. */
extern void MetricsRequestRead(MetricsRequest *request, const char *parameters, size_t len);
extern void StatsRequestRead(StatsRequest *request, const char *parameters, size_t len);

/* Refuse the value of a parameter: ERROR 22023. */
pg_noreturn extern void RequestRefuse(const char *name, const char *value, const char *expected);

#endif
