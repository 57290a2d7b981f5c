/*
 * close_buckets.h
 *
 * Closes hours and days: when a bucket is over, the rows of the level below become one row of
 * its own level. Needs the refresh's lock and SPI.
 */
#ifndef FAST_INGEST_CLOSE_BUCKETS_H
#define FAST_INGEST_CLOSE_BUCKETS_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/state/rollup_state.h"

/*
 * How long buckets stay open for late events after they are over: a closed bucket is cheaper to
 * read, but more expensive to change. Microseconds.
 */
#define CLOSE_DELAY (5 * USECS_PER_MINUTE)

/*
 * Close all hours and days that are over, advance the state and fine_from of the breakdowns, and
 * return how many there were.
 */
extern void CloseBuckets(RollupState *state, BreakdownList *breakdowns, int64 *hours, int64 *days);

/*
 * Join the parts in which merging has left keys (see merge_write.c), except in the buckets from
 * the beginning of low's day to high. Joins all parts if high is before low.
 */
extern void CloseBucketsJoinParts(TimeRange except);

/*
 * Remove what the rollup has of a breakdown in a range of whole buckets, its finest ones, so
 * that their events can be merged again. Closed rows of the levels above are wrong until
 * CloseBucketsAgain.
 */
extern void CloseBucketsForget(const Breakdown *breakdown, TimeRange range);

/* Compute again the closed rows of the levels above such ranges. The list is ordered. */
extern void CloseBucketsAgain(const Breakdown *breakdown, const TimeRangeList *ranges,
							  const RollupState *state);

/* Compute the totals of closed hours again, from their channels. */
extern void CloseBucketsCountTotals(const TimeRangeList *hours);

#endif
