/*
 * seal.h
 *
 * Closing hours and days: when a bucket is over, the rows of the level below
 * become one row of its own level. Needs the refresh's lock and SPI.
 */
#ifndef FAST_INGEST_SEAL_H
#define FAST_INGEST_SEAL_H

#include "rollup/dirty.h"
#include "rollup/merge.h"

/* Close all hours and days that are over by the clock; advances the state. Says how many. */
extern void SealClose(RollupState *state, const BreakdownList *breakdowns, int64 *hours,
					  int64 *days);

/*
 * Put together what merging left in parts, but not in days that a span (both ends
 * included) touches.
 */
extern void SealParts(Span except);

/*
 * Forget what the rollup has of a breakdown's buckets in a span of whole buckets
 * of its finest level, so that they can be merged anew. What is merged into days
 * that the span touches is wrong until SealAgain.
 */
extern void SealForget(const Breakdown *breakdown, Span span);

/* Make closed rows above such spans, which are in order, again. */
extern void SealAgain(const Breakdown *breakdown, const SpanList *spans, const RollupState *state);

/* Count the totals of closed hours again, from their channels. */
extern void SealCountTotals(const SpanList *hours);

#endif
