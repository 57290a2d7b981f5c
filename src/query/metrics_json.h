/*
 * metrics_json.h
 *
 * The bodies of GET /metrics and GET /stats.
 */
#ifndef FAST_INGEST_METRICS_JSON_H
#define FAST_INGEST_METRICS_JSON_H

#include "lib/stringinfo.h"

/*
 * Answer a question whose parameters are n times name NUL value NUL, and append
 * the body to text. Like MetricsCompute they need an active snapshot. Errors:
 * 22023 for a parameter that is unknown, missing or not allowed, with a message
 * that names it, its value and what is allowed, and those of MetricsCompute. The
 * cursor of the next page, if there is one, is appended to next_cursor as well:
 * CSV has no place for it.
 */
extern void AnswerMetrics(StringInfo text, const char *parameters, size_t len, bool *csv,
						  StringInfo next_cursor);
extern void AnswerStats(StringInfo text, const char *parameters, size_t len);

#endif
