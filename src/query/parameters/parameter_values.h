/*
 * parameter_values.h
 *
 * Reads the values of parameters. A reader gets the parameter's name and value, and the field
 * to set. A value that is not allowed is an error 22023 whose message names the parameter, its
 * value and what is expected. Links without a server.
 */
#ifndef FAST_INGEST_PARAMETER_VALUES_H
#define FAST_INGEST_PARAMETER_VALUES_H

#include "base/compat.h"

/* Rows of a card of GET /overview, unless a number is given; and at most. */
#define DEFAULT_CARD_ROWS 9
#define MAX_CARD_ROWS 100

/* Raise the error 22023 for a value that is not allowed. */
pg_noreturn extern void ParameterRefuse(const char *name, const char *value, const char *expected);

/* Texts stay where they are: const char *. */
extern void ParameterReadText(const char *name, const char *value, void *field);

/* true or false: bool */
extern void ParameterReadBool(const char *name, const char *value, void *field);

/* A time as clients write it (see TimestampRead), a bound of a range: MetricsQuery. */
extern void ParameterReadFrom(const char *name, const char *value, void *query);
extern void ParameterReadTo(const char *name, const char *value, void *query);

/* The first day of a week, monday or sunday: bool, is it sunday? */
extern void ParameterReadWeekStart(const char *name, const char *value, void *field);

/* A day that exists, as YYYY-MM-DD: DateADT */
extern void ParameterReadDate(const char *name, const char *value, void *field);

/* json or csv: bool, is it csv? */
extern void ParameterReadFormat(const char *name, const char *value, void *field);

/*
 * A whole number from 1, to the largest of an int, MAX_SERIES_TOP, MAX_LIVE_TOP or MAX_CARD_ROWS:
 * int
 */
extern void ParameterReadLimit(const char *name, const char *value, void *field);
extern void ParameterReadSeriesTop(const char *name, const char *value, void *field);
extern void ParameterReadLiveTop(const char *name, const char *value, void *field);
extern void ParameterReadCardRows(const char *name, const char *value, void *field);

/* One website. A comma that is part of it is escaped as in value_list.h: const char * */
extern void ParameterReadSite(const char *name, const char *value, void *field);

#endif
