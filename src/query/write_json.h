/*
 * write_json.h
 *
 * Answers as bodies of HTTP, appended to a text.
 */
#ifndef FAST_INGEST_WRITE_JSON_H
#define FAST_INGEST_WRITE_JSON_H

#include "query/page.h"

extern void WriteMetricsCsv(StringInfo text, const MetricsAnswer *answer, AnswerPage page);

/*
 * total is the row of the same question without groups; answer and page are of
 * no use where there are none. next_cursor is "" on the last page.
 */
extern void WriteMetricsJson(StringInfo text, const MetricsRequest *request,
							 const MetricsRow *total, const MetricsAnswer *answer, AnswerPage page,
							 const char *next_cursor);

extern void WriteStatsJson(StringInfo text, const StatsRequest *request, const StatsAnswer *answer);

#endif
