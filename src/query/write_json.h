/*
 * write_json.h
 *
 * Answers as bodies of HTTP responses. Each function appends to a text.
 */
#ifndef FAST_INGEST_WRITE_JSON_H
#define FAST_INGEST_WRITE_JSON_H

#include "query/page.h"

/* One line for each row of the page, after a header line. */
extern void WriteMetricsCsv(StringInfo text, const MetricsAnswer *answer, AnswerPage page);

/*
 * total is the only row of the same query without groups. answer and page are ignored if
 * the query has no groups. next_cursor is "" on the last page.
 */
extern void WriteMetricsJson(StringInfo text, const MetricsParameters *parameters,
							 const MetricsRow *total, const MetricsAnswer *answer, AnswerPage page,
							 const char *next_cursor);

extern void WriteStatsJson(StringInfo text, const StatsParameters *parameters,
						   const StatsAnswer *answer);

#endif
