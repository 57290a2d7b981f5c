/*
 * metrics_private.h
 *
 * A call of MetricsCompute in progress, and the steps of it: metrics.c begins the run and
 * calls the functions below in their order. Everything lives in the memory context of the
 * answer. All steps need SPI.
 */
#ifndef FAST_INGEST_METRICS_PRIVATE_H
#define FAST_INGEST_METRICS_PRIVATE_H

#include "base/text_map.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/metrics/calendar.h"
#include "rollup/metrics/group_count.h"
#include "rollup/metrics/metrics.h"
#include "rollup/metrics/read_rollup.h"
#include "rollup/state/rollup_state.h"

typedef enum
{
	GROUP_NONE,
	GROUP_HOUR,
	GROUP_DAY,
	GROUP_KEY
} GroupKind;

typedef struct
{
	const MetricsQuery *query;
	GroupKind kind;
	const Breakdown *breakdown; /* whose rows are read */
	pg_tz *zone;				/* of hours and days */
	char *event_name;			/* as the rollup has it: see RollupText */
	const char *key;			/* count this one only, as the rollup has it; NULL is any */
	TimeRange range;
	RollupState state;

	/* what only raw rows can tell */
	bool all_raw;					 /* everything: keys of other breakdowns in one channel */
	const TimeRangeList *raw_ranges; /* times to count again, or counted among others */

	/* what is counted */
	TimeGroups *times;		 /* hours or days; otherwise one group, the whole range */
	GroupCount *time_counts; /* of each group of times, unless by key */
	bool *has_deltas;		 /* of each piece of times */
	TextMap *keys;			 /* by key: GroupCounts */
	GroupCount others;		 /* by key: of the keys that are counted together */
	UnresolvedUsers users;
	const TimeRange *packed; /* the minutes that are being read from an hour's row */
	MetricsSources sources;
} MetricsRun;

/*
 * Find the groups by time, and begin to count at 0. Keys become groups when they are read.
 * An error 22023 for too many hours or days.
 */
extern void MetricsRunMakeGroups(MetricsRun *run);

/* Read and count everything. An error 55000 if raw rows are needed that have been dropped. */
extern void MetricsRunRead(MetricsRun *run);

/* Make the rows of the answer from the counts. */
extern MetricsAnswer *MetricsRunAnswer(MetricsRun *run);

/* Compare groups by their order in an answer: largest total first, then by key, NULL first. */
extern int MetricsCompareKeys(int64 left_total, const char *left_key, int64 right_total,
							  const char *right_key);

#endif
