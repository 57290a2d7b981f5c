/*
 * metrics_json.h
 *
 * The bodies of GET /metrics and GET /stats.
 */
#ifndef FAST_INGEST_METRICS_JSON_H
#define FAST_INGEST_METRICS_JSON_H

#include "lib/stringinfo.h"

/*
 * Compute the answer to a request and append it to text. list holds the request's parameters,
 * name NUL value NUL ..., and is len bytes long. An active snapshot is needed.
 * Errors: 22023 for a parameter that is unknown, missing or not allowed, with a message that
 * names it, its value and what is expected; and the errors of MetricsCompute.
 *
 * AnswerMetrics also says whether the answer is CSV, and appends the cursor of the next page,
 * if there is one, to next_cursor: CSV has no place for it.
 */
extern void AnswerMetrics(StringInfo text, const char *list, size_t len, bool *csv,
						  StringInfo next_cursor);
extern void AnswerStats(StringInfo text, const char *list, size_t len);

#endif
