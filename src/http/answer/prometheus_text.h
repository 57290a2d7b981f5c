/*
 * prometheus_text.h
 *
 * Writes the text format of Prometheus, version 0.0.4. Names and help are constant text that
 * needs no escaping. No function checks its arguments.
 */
#ifndef FAST_INGEST_PROMETHEUS_TEXT_H
#define FAST_INGEST_PROMETHEUS_TEXT_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "shared/types/histogram.h"

#define PROMETHEUS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The unit of a histogram whose values are durations; the metric is in seconds. */
#define MICROSECONDS 1e6

/* The lines before a metric's values. */
extern void PrometheusTextFamily(StringInfo out, const char *name, const char *type,
								 const char *help);

/* A metric that has one value. */
extern void PrometheusTextValue(StringInfo out, const char *name, const char *type,
								const char *help, uint64 value);

/* A point in time as a value: Unix seconds. */
extern double PrometheusTextSeconds(TimestampTz when);

/* A metric that is a point in time, in Unix seconds. Writes nothing if it is 0. */
extern void PrometheusTextMoment(StringInfo out, const char *name, const char *help,
								 TimestampTz when);

/* The value of a label, in quotes; it may hold anything. */
extern void PrometheusTextQuote(StringInfo out, const char *value);

/*
 * The values of a histogram. unit: how many units of the histogram make 1 unit of the metric.
 * route is the value of the label "route"; NULL for a metric without that label.
 */
extern void PrometheusTextHistogram(StringInfo out, const char *name, const char *route,
									const HistogramTotal *total, const int64 *bounds, double unit);

#endif
