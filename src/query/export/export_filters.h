/*
 * export_filters.h
 *
 * The filters of an export as conditions of SQL.
 */
#ifndef FAST_INGEST_EXPORT_FILTERS_H
#define FAST_INGEST_EXPORT_FILTERS_H

#include "lib/stringinfo.h"

#include "rollup/metrics/metrics.h"

/*
 * Append " AND <condition>" over the columns of fast_ingest.events for each filter. Needs SPI and
 * an active snapshot. An error 22023 for a name that no filter has.
 */
extern void ExportFiltersAppend(StringInfo statement, const MetricsQuery *query);

#endif
