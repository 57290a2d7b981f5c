/*
 * filters.h
 *
 * Which filters there are.
 */
#ifndef FAST_INGEST_FILTERS_H
#define FAST_INGEST_FILTERS_H

#include "query/parameters/parameter_table.h"

/*
 * Require that each filter of a query is named after a column, a tag, a member of metadata or
 * a breakdown of the active snapshot. Any other is an unknown parameter: ParameterTableRefuse.
 */
extern void FiltersRequireKnown(const ParameterTable *table, const MetricsQuery *query);

#endif
