/*
 * filter_json.h
 *
 * Reads filters that are written as JSON, for SQL functions:
 *
 *     {"channel": ["web", "mobile"], "site": "shop.example", "metadata": {"plan": "pro"}}
 *
 * A value is text, a number or a boolean, or an array of these, one of which is enough.
 */
#ifndef FAST_INGEST_FILTER_JSON_H
#define FAST_INGEST_FILTER_JSON_H

#include "utils/jsonb.h"

#include "rollup/metrics/metrics.h"

/*
 * Add the filters of a jsonb to a query, in the current memory context. An error 22023 for
 * anything but an object, and for a member whose value is not as above, by its name. The names
 * of filters are not checked here.
 */
extern void FilterJsonAdd(MetricsQuery *query, Jsonb *json);

/* Add a filter with one value. */
extern void FilterAdd(MetricsQuery *query, const char *name, const char *value);

#endif
