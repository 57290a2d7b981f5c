/*
 * write_json.h
 *
 * Parts of JSON answers. Each function appends to a text.
 */
#ifndef FAST_INGEST_WRITE_JSON_H
#define FAST_INGEST_WRITE_JSON_H

#include "lib/stringinfo.h"

#include "base/time_ranges.h"
#include "rollup/metrics/metrics.h"
#include "rollup/questions/live.h"
#include "rollup/questions/series.h"

/* "member":"value" */
extern void WriteTextMember(StringInfo text, const char *member, const char *value);

/* A time as Unix seconds, with as many decimals as it needs. */
extern void WriteTime(StringInfo text, TimestampTz time);

/* "total_events":1,"unique_users":1 */
extern void WriteCounts(StringInfo text, int64 total_events, int64 unique_users);

/* "from":1,"to":2, of the ends of a range that are there, each with a comma behind it. */
extern void WriteRange(StringInfo text, TimeRange range, bool has_from, bool has_to);

/* "last_5_minutes":{...},"last_30_minutes":{...},"minutes":[...] */
extern void WriteLive(StringInfo text, const LiveAnswer *live);

/* The points of a chart, with commas between them: {"time":1,"total_events":1,"unique_users":1} */
extern void WritePoints(StringInfo text, const SeriesPoint *points, int n);

/*
 * Rows of groups, with commas between them. member is what the groups are; the keys that are
 * counted together are "other": {"member":null,"other":true,"total_events":1,"unique_users":1}
 */
extern void WriteRows(StringInfo text, const char *member, const MetricsRow *rows, int n);

#endif
