/*
 * prometheus_text.h
 *
 * The text format of Prometheus, version 0.0.4: the lines that every metric is made of.
 * Names and help are constant text that needs no escaping.
 */
#ifndef FAST_INGEST_PROMETHEUS_TEXT_H
#define FAST_INGEST_PROMETHEUS_TEXT_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "shared/histogram.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A histogram's unit, if its values are durations: exposed are seconds. */
#define MICROSECONDS 1e6

/* Histograms added up. */
typedef struct
{
	uint64 buckets[HISTOGRAM_BOUNDS + 1];
	uint64 sum;
} HistogramTotal;

/* What comes before a metric's values. */
extern void PrometheusTextFamily(StringInfo out, const char *name, const char *type,
								 const char *help);

/* A metric that has one value. */
extern void PrometheusTextValue(StringInfo out, const char *name, const char *type,
								const char *help, uint64 value);

/* A moment in Unix seconds; nothing while it has not come (0). */
extern void PrometheusTextMoment(StringInfo out, const char *name, const char *help,
								 TimestampTz when);

/* The value of a label, whatever it holds. */
extern void PrometheusTextQuote(StringInfo out, const char *value);

extern void PrometheusTextAdd(HistogramTotal *total, Histogram *histogram);

/*
 * The values of a histogram, of which unit come to 1 of the metric's; route is the value
 * of its label, NULL for a metric without.
 */
extern void PrometheusTextHistogram(StringInfo out, const char *name, const char *route,
									const HistogramTotal *total, const int64 *bounds, double unit);

#endif
