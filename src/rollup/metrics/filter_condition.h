/*
 * filter_condition.h
 *
 * What a filter asks of a raw row.
 */
#ifndef FAST_INGEST_FILTER_CONDITION_H
#define FAST_INGEST_FILTER_CONDITION_H

#include "rollup/breakdown/scan_events.h"
#include "rollup/metrics/metrics.h"

/*
 * Is there a filter of that name whatever breakdowns there are: on a column, a tag, a member of
 * metadata or a built-in breakdown?
 */
extern bool FilterIsBuiltIn(const char *name);

/*
 * The condition that a filter stands for: on a column, a tag, a member of metadata or a
 * breakdown's key. An error 22023 for a name that is none of these.
 */
extern EventCondition FilterCondition(const MetricsFilter *filter, const BreakdownList *breakdowns);

#endif
