/*
 * close_buckets.h
 *
 * Closing hours and days: when a bucket is over, the rows of the level below
 * become one row of its own level. Needs the refresh's lock and SPI.
 */
#ifndef FAST_INGEST_CLOSE_BUCKETS_H
#define FAST_INGEST_CLOSE_BUCKETS_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/state/rollup_state.h"

/* A closed bucket is cheaper to read and dearer to change: wait that long for stragglers. */
#define CLOSE_DELAY (5 * USECS_PER_MINUTE)

/* Close all hours and days that are over by the clock; advances the state. Says how many. */
extern void CloseBucketsClose(RollupState *state, const BreakdownList *breakdowns, int64 *hours,
							  int64 *days);

/*
 * Put together what merging left in parts, but not in days that a span (both ends
 * included) touches.
 */
extern void CloseBucketsParts(TimeRange except);

/*
 * Forget what the rollup has of a breakdown's buckets in a span of whole buckets
 * of its finest level, so that they can be merged anew. What is merged into days
 * that the span touches is wrong until CloseBucketsAgain.
 */
extern void CloseBucketsForget(const Breakdown *breakdown, TimeRange span);

/* Make closed rows above such spans, which are in order, again. */
extern void CloseBucketsAgain(const Breakdown *breakdown, const TimeRangeList *spans,
							  const RollupState *state);

/* Count the totals of closed hours again, from their channels. */
extern void CloseBucketsCountTotals(const TimeRangeList *hours);

#endif
