/*
 * argument.h
 *
 * Arguments of the SQL functions that ask questions.
 */
#ifndef FAST_INGEST_ARGUMENT_H
#define FAST_INGEST_ARGUMENT_H

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"

#include "rollup/breakdown/breakdown.h"

/* Paths of a website's statistics where nothing is said. */
#define DEFAULT_PATHS 10

/* A text, or NULL. */
static inline const char *
TextArgument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/* The UTC day that a time is in. */
static inline DateADT
UtcDay(TimestampTz ts)
{
	return (DateADT) (BucketStart(ts, LEVEL_DAY) / USECS_PER_DAY);
}

#endif
