/*
 * metrics_private.h
 *
 * A question while it is answered: shared by metrics.c, metrics_groups.c and
 * metrics_read.c. Everything lives in the memory context of the answer.
 */
#ifndef FAST_INGEST_METRICS_PRIVATE_H
#define FAST_INGEST_METRICS_PRIVATE_H

#include "rollup/metrics/calendar.h"
#include "rollup/metrics/metrics.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/metrics/read_rollup.h"
#include "rollup/state/rollup_state.h"
#include "rollup/metrics/group_count.h"
#include "base/text_map.h"

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
	const Breakdown *breakdown;
	char *event_name; /* as the rollup has it */
	const char *key;  /* only this one; NULL is any */
	bool raw_only;	  /* the rollup does not know */
	TimeRange range;
	RollupState state;
	const TimeRangeList *unknown; /* what only raw rows tell: dirty, or counted among others */
	TimeGroups *times;			  /* one for the whole range unless by hour or day */
	GroupCount *tallies;		  /* for each of times */
	bool *has_deltas;			  /* for each piece of times */
	TextMap *keys;				  /* tallies by key, for GROUP_KEY */
	GroupCount others;			  /* of keys that are counted together */
	UnresolvedUsers users;
	const TimeRange *packed; /* the span being read from rows of hours */
	MetricsSources sources;
} MetricsRun;

/*
 * Make the tallies that reading fills: one for each hour or day of a time zone,
 * one for all, or those of keys as they come. An ERROR for too many. Needs SPI.
 */
extern void MetricsRunMakeGroups(MetricsRun *question, pg_tz *zone);

/*
 * Read all that the answer is made of. An ERROR if raw rows are needed that are
 * not there any more. Needs SPI.
 */
extern void MetricsRunRead(MetricsRun *question);

/* The rows of the answer. */
extern MetricsAnswer *MetricsRunAnswer(MetricsRun *question);

#endif
