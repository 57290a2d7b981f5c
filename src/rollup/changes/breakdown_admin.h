/*
 * breakdown_admin.h
 *
 * What fi_add_breakdown(), fi_alter_breakdown() and fi_drop_breakdown() have in common.
 */
#ifndef FAST_INGEST_BREAKDOWN_ADMIN_H
#define FAST_INGEST_BREAKDOWN_ADMIN_H

#include "fmgr.h"
#include "utils/array.h"

#include "base/time_ranges.h"

/*
 * Keep inserts waiting until the transaction ends, and make the next ones read the breakdowns
 * again. An ERROR (0A000) at REPEATABLE READ or above.
 */
extern void BreakdownsLock(void);

/*
 * The width of the finest of some levels. An ERROR (22023) for anything but day and the levels
 * below it without a gap, in any order; there are either quarters of an hour or minutes.
 */
extern int64 BreakdownWidthOfLevels(ArrayType *levels);

/* The level of the rows of buckets of a width. */
extern BucketLevel BreakdownLevelOfWidth(int64 width);

/* An ERROR (22004) for an argument that is NULL. */
extern void BreakdownRequireArgument(FunctionCallInfo fcinfo, int number, const char *name);

/* Read an argument that is a number; ERROR 22004 for NULL, 22023 if it is less than the least. */
extern int32 BreakdownNumberArgument(FunctionCallInfo fcinfo, int number, const char *name,
									 int32 least);

#endif
