/*
 * sql_arguments.h
 *
 * Reads arguments that several SQL functions have.
 */
#ifndef FAST_INGEST_SQL_ARGUMENTS_H
#define FAST_INGEST_SQL_ARGUMENTS_H

#include "fmgr.h"

#include "rollup/metrics/metrics.h"

/* Names of arguments in SQL, for errors. */
extern const MetricsNames SqlMetricsNames;

/* An argument of type text; NULL stays NULL. */
extern const char *SqlTextArgument(FunctionCallInfo fcinfo, int number);

/* An argument of type boolean, or what NULL stands for. */
extern bool SqlBoolArgument(FunctionCallInfo fcinfo, int number, bool if_null);

/* The range of a query: since, an argument by its number, and until, the next one. */
extern void SqlRangeArguments(FunctionCallInfo fcinfo, int since, MetricsQuery *query);

/* An argument of type jsonb with filters, which are added to a query; errors as FilterJsonAdd. */
extern void SqlFilterArgument(FunctionCallInfo fcinfo, int number, MetricsQuery *query);

/* Is week_start Sunday? NULL is Monday. An error 22023 for anything but monday and sunday. */
extern bool SqlWeekStartArgument(FunctionCallInfo fcinfo, int number);

#endif
